/*
 * Random programs on the engine of coprocessor streams: several queues of both kinds on two
 * coprocessors, explicit waits, markers, barriers, gates, host waits. Each program is free of races
 * by the API's own order, which a model here keeps as sets, so its results must be those of running
 * it in the order of issue: in memory at the end, and in what the host reads after each wait.
 * Engines with a fault (an edge kind left out) must give other results, or the fuzzer would be
 * blind.
 */
/* links: $(COPROC_ENGINE) */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/coproc/mock_device.h"

#define MEMORIES 4u
#define BYTES    64u
#define COMMANDS 96u
#define QUEUES   5u
#define WORDS    ((COMMANDS + 63) / 64)

struct set {
    uint64_t words[WORDS];
};

struct operation {
    unsigned id, reads, source[2], from[2], length[2];
    unsigned target, at, bytes; /* bytes 0: writes nothing */
    bool to_host;
    uint64_t *result;
};

static uint8_t memory[MEMORIES][BYTES], expected[MEMORIES][BYTES];

static struct program {
    unsigned seed, count, covered_count;
    struct coproc_engine *engine;
    struct mock_device devices[2];
    struct coproc_queue *queues[QUEUES];
    struct coproc_memory *memories[MEMORIES];
    bool in_order[QUEUES];
    struct {
        struct coproc_command *command;
        struct operation operation;
        struct set before;
        unsigned queue; /* QUEUES: a gate */
        bool shut;
        uint64_t result, expected;
    } commands[COMMANDS];
    struct set covered, queue_before[QUEUES];
    bool wrong;
} p;

static unsigned pick(unsigned limit)
{
    return (unsigned)rand_r(&p.seed) % limit;
}

static bool set_has(const struct set *set, unsigned i)
{
    return set->words[i / 64] >> (i % 64) & 1;
}
static void set_add(struct set *set, unsigned i)
{
    set->words[i / 64] |= 1ull << (i % 64);
}
static void set_join(struct set *set, const struct set *other)
{
    for (unsigned i = 0; i < WORDS; i++)
        set->words[i] |= other->words[i];
}

/* What a command does to the memory it is given. */
static uint64_t operation_run(const struct operation *operation, uint8_t (*where)[BYTES])
{
    uint64_t hash = operation->id * 0x9e3779b97f4a7c15u + 1;
    for (unsigned r = 0; r < operation->reads; r++)
        for (unsigned i = 0; i < operation->length[r]; i++)
            hash = (hash ^ where[operation->source[r]][operation->from[r] + i]) * 0x100000001b3u;
    for (unsigned i = 0; i < operation->bytes; i++)
        where[operation->target][operation->at + i] = (uint8_t)((hash >> (i % 8 * 7)) + i);
    return hash;
}

static void operation_execute(struct coproc_command *command, void *argument)
{
    (void)command;
    const struct operation *operation = argument;
    /* Both coprocessors share the memory: one operation at a time, as a whole. */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    uint64_t hash = operation_run(operation, memory);
    if (operation->to_host)
        *operation->result = hash;
    pthread_mutex_unlock(&lock);
}

static bool overlap(unsigned a, unsigned a_length, unsigned b, unsigned b_length)
{
    return a < b + b_length && b < a + a_length;
}

static bool reads_conflict(const struct operation *reader, const struct operation *writer)
{
    for (unsigned r = 0; r < reader->reads; r++)
        if (writer->bytes && reader->source[r] == writer->target &&
            overlap(reader->from[r], reader->length[r], writer->at, writer->bytes))
            return true;
    return false;
}

static bool operations_conflict(const struct operation *a, const struct operation *b)
{
    bool writes = a->bytes && b->bytes && a->target == b->target && overlap(a->at, a->bytes, b->at, b->bytes);
    return writes || reads_conflict(a, b) || reads_conflict(b, a);
}

static void operation_random(struct operation *operation)
{
    *operation = (struct operation){.id = p.count + 1, .reads = pick(3)};
    for (unsigned r = 0; r < operation->reads; r++) {
        operation->source[r] = pick(MEMORIES);
        operation->from[r] = pick(BYTES);
        operation->length[r] = 1 + pick(BYTES - operation->from[r]);
    }
    operation->to_host = operation->reads && pick(5) == 0;
    if (!operation->to_host || pick(3) == 0) {
        operation->target = pick(MEMORIES);
        operation->at = pick(BYTES);
        operation->bytes = 1 + pick(BYTES - operation->at);
    }
}

/* ---- host side
 * ------------------------------------------------------------------------------------------------------------------------
 */

/* Before a wait: what only the host can bring about. */
static void gates_open(void)
{
    for (unsigned d = 0; d < 2; d++)
        mock_hold(&p.devices[d], false);
    for (unsigned i = 0; i < p.count; i++) {
        if (p.commands[i].shut) {
            p.commands[i].shut = false;
            coproc_command_done(p.commands[i].command, 0);
        }
    }
}

/* After a host wait: all of `set` has happened as far as the host can tell. */
static void covered_check(const struct set *set)
{
    set_join(&p.covered, set);
    for (unsigned i = 0; i < p.count; i++)
        if (set_has(set, i) && p.commands[i].operation.to_host)
            p.wrong |= p.commands[i].result != p.commands[i].expected;
}

static struct set closure(unsigned i)
{
    struct set set = p.commands[i].before;
    set_add(&set, i);
    return set;
}

static void host_wait_command(unsigned i)
{
    struct set set = closure(i);
    gates_open();
    coproc_wait_commands(&p.commands[i].command, 1, pick(8) ? COPROC_WAIT_MODE : COPROC_WAIT_EARLY);
    covered_check(&set);
}

static void host_wait_queue(unsigned queue)
{
    struct set set = {{0}};
    gates_open();
    for (unsigned i = 0; i < p.count; i++)
        if (p.commands[i].queue == queue) {
            struct set more = closure(i);
            set_join(&set, &more);
        }
    coproc_wait_queue(p.queues[queue], pick(16) ? COPROC_WAIT_MODE : COPROC_WAIT_REAL);
    covered_check(&set);
}

/* ---- commands
 * --------------------------------------------------------------------------------------------------------------------------
 */

static void command_enqueue(unsigned queue, const struct operation *operation, const struct set *waits, unsigned flags)
{
    unsigned index = p.count;
    struct set before = p.covered;
    flags |= operation->to_host ? COPROC_HOST_VISIBLE : 0;
    if (!(flags & COPROC_LOCAL) && pick(24) == 0)
        flags |= COPROC_UNKNOWN;
    struct coproc_command *command = coproc_command_new(p.engine, p.queues[queue], flags, "operation");
    p.commands[index].command = command;
    p.commands[index].operation = *operation;
    p.commands[index].operation.result = &p.commands[index].result;
    p.commands[index].queue = queue;
    *mock_work(command) = (struct mock_work){.run = operation_execute, .argument = &p.commands[index].operation};
    bool explicit_waits = false;
    for (unsigned i = 0; i < index; i++) {
        struct set more = closure(i);
        bool same = p.commands[i].queue == queue;
        if (waits && set_has(waits, i)) {
            coproc_command_wait(command, p.commands[i].command);
            set_join(&before, &more);
            explicit_waits = true;
        } else if (same && p.in_order[queue]) {
            set_join(&before, &more);
        }
    }
    set_join(&before, &p.queue_before[queue]);
    if ((flags & (COPROC_MARKER | COPROC_BARRIER)) && !explicit_waits)
        for (unsigned i = 0; i < index; i++)
            if (p.commands[i].queue == queue) {
                struct set more = closure(i);
                set_join(&before, &more);
            }
    p.commands[index].before = before;
    if (flags & COPROC_BARRIER) {
        set_join(&p.queue_before[queue], &before);
        set_add(&p.queue_before[queue], index);
    }
    for (unsigned r = 0; r < operation->reads; r++)
        coproc_command_access(command, p.memories[operation->source[r]], operation->from[r], operation->length[r],
                              COPROC_READ);
    coproc_command_access(command, p.memories[operation->target], operation->at, operation->bytes, COPROC_WRITE);
    p.commands[index].expected = operation_run(operation, expected);
    p.count++;
    coproc_command_enqueue(command);
}

static void operation_enqueue(void)
{
    struct operation operation;
    unsigned queue = pick(QUEUES);
    operation_random(&operation);
    /* What the API would not order is made so, by events or by the host, or left out. */
    struct set unordered = {{0}}, before = p.covered;
    bool any = false;
    set_join(&before, &p.queue_before[queue]);
    for (unsigned i = 0; i < p.count; i++)
        if (p.in_order[queue] && p.commands[i].queue == queue) {
            struct set more = closure(i);
            set_join(&before, &more);
        }
    for (unsigned i = 0; i < p.count; i++) {
        if (!set_has(&before, i) && operations_conflict(&operation, &p.commands[i].operation)) {
            set_add(&unordered, i);
            any = true;
        }
    }
    if (any && pick(3) == 0) {
        for (unsigned i = 0; i < p.count; i++)
            if (set_has(&unordered, i) && !set_has(&p.covered, i)) {
                if (pick(2))
                    host_wait_command(i);
                else
                    host_wait_queue(p.commands[i].queue);
            }
        any = false;
    } else if (pick(12) == 0) { /* an event more than needed */
        for (unsigned i = 0; i < p.count; i++)
            if (pick(8) == 0)
                set_add(&unordered, i);
        any = true;
    }
    command_enqueue(queue, &operation, any ? &unordered : NULL, 0);
}

static void gate_make(void)
{
    unsigned index = p.count++;
    p.commands[index].command = coproc_command_new(p.engine, NULL, COPROC_GATE, "gate");
    p.commands[index].queue = QUEUES;
    p.commands[index].shut = true;
}

static void step(void)
{
    static const struct operation nothing;
    switch (pick(16)) {
    case 0:
        host_wait_queue(pick(QUEUES));
        break;
    case 1: {
        unsigned i = pick(p.count + 1);
        if (i < p.count)
            host_wait_command(i);
        break;
    }
    case 2:
        if (pick(4) == 0)
            gate_make();
        break;
    case 3:
        command_enqueue(pick(QUEUES), &nothing, NULL, COPROC_LOCAL | (pick(2) ? COPROC_MARKER : COPROC_BARRIER));
        break;
    case 4: {
        struct set waits = {{0}};
        for (unsigned i = 0; i < p.count; i++)
            if (pick(10) == 0)
                set_add(&waits, i);
        command_enqueue(pick(QUEUES), &nothing, &waits, COPROC_LOCAL | (pick(2) ? COPROC_MARKER : COPROC_BARRIER));
        break;
    }
    default:
        operation_enqueue();
    }
}

/* One program: false when a result was not the one of the order of issue. */
static bool program_run(unsigned seed, unsigned faults)
{
    memset(&p, 0, sizeof p);
    memset(memory, 0, sizeof memory);
    memset(expected, 0, sizeof expected);
    p.seed = seed;
    unsigned high = 2 + pick(30);
    struct coproc_settings settings = {.mode = pick(4) ? COPROC_ASIF : COPROC_STRICT,
                                       .window_high = high,
                                       .window_low = high / 2,
                                       .spin_us = pick(2) * 20,
                                       .faults = faults};
    p.engine = coproc_engine_new(&settings);
    for (unsigned d = 0; d < 2; d++) {
        p.devices[d].driver.lanes = 1 + pick(4);
        p.devices[d].driver.chain_depth = 1 + pick(3);
        mock_start(&p.devices[d], p.engine, seed + d);
        mock_hold(&p.devices[d], pick(2));
    }
    for (unsigned q = 0; q < QUEUES; q++) {
        p.in_order[q] = pick(3) > 0;
        p.queues[q] = coproc_queue_new(p.devices[q % 2].device, p.in_order[q], false);
    }
    for (unsigned m = 0; m < MEMORIES; m++)
        p.memories[m] = coproc_memory_new(p.engine, BYTES);
    unsigned steps = 4 + pick(COMMANDS - 8);
    for (unsigned i = 0; i < steps && p.count + 1 < COMMANDS; i++) {
        /* A coprocessor that is held may not fill its window: the host would wait for ever. */
        if (i == high / 2)
            for (unsigned d = 0; d < 2; d++)
                mock_hold(&p.devices[d], false);
        step();
    }
    gates_open();
    coproc_drain(p.engine);
    struct coproc_counts counts;
    coproc_engine_counts(p.engine, &counts);
    ck_assert_uint_eq(counts.live, 0);
    bool good = !p.wrong && !memcmp(memory, expected, sizeof memory);
    for (unsigned i = 0; i < p.count; i++) {
        good &= p.commands[i].result == p.commands[i].expected || !p.commands[i].operation.to_host;
        coproc_command_unref(p.commands[i].command);
    }
    for (unsigned q = 0; q < QUEUES; q++)
        coproc_queue_free(p.queues[q]);
    for (unsigned m = 0; m < MEMORIES; m++)
        coproc_memory_free(p.memories[m]);
    coproc_engine_free(p.engine);
    for (unsigned d = 0; d < 2; d++)
        mock_end(&p.devices[d]);
    return good;
}

static unsigned programs_wanted(void)
{
    const char *text = getenv("FUZZ_PROGRAMS");
    return text ? (unsigned)strtoul(text, NULL, 0) : 10000;
}

START_TEST(test_programs)
{
    unsigned count = programs_wanted();
    for (unsigned seed = 1; seed <= count; seed++)
        ck_assert_msg(program_run(seed, 0), "program %u gives another result than in the order of issue", seed);
}
END_TEST

static const unsigned faults[] = {COPROC_FAULT_NO_RAW, COPROC_FAULT_NO_WAR, COPROC_FAULT_NO_WAW, COPROC_FAULT_NO_COVER,
                                  COPROC_FAULT_NO_STICKY};

START_TEST(test_mutants)
{
    unsigned caught = 0;
    for (unsigned seed = 1; seed <= 5000 && caught < 3; seed++)
        caught += !program_run(seed, faults[_i]);
    ck_assert_msg(caught == 3, "a fault was caught %u times only", caught);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coproc_fuzz");
    TCase *programs = tcase_create("programs"), *mutants = tcase_create("mutants");
    tcase_set_timeout(programs, 300);
    tcase_set_timeout(mutants, 120);
    tcase_add_test(programs, test_programs);
    tcase_add_loop_test(mutants, test_mutants, 0, sizeof faults / sizeof faults[0]);
    suite_add_tcase(suite, programs);
    suite_add_tcase(suite, mutants);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
