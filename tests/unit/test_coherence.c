/*
 * The coherence protocol on simulated networks: what every read returns, that every fault is
 * answered, and malformed input. links: $(filter runtime/coherence%,$(PARTS))
 *
 * COHERENCE_SEED and COHERENCE_OPERATIONS in the environment choose another seed and more work.
 */
#include <check.h>

#include "tests/unit/coherence_network.h"

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value != NULL ? strtoull(value, NULL, 0) : otherwise;
}

static void shape_run(const struct sim_shape *shape, uint64_t operations)
{
    struct sim *sim = sim_create(shape, environment_number("COHERENCE_SEED", 1));
    uint64_t scale = environment_number("COHERENCE_OPERATIONS", 1);
    sim_run(sim, operations * scale);
    sim_check_waits(sim);
    if (getenv("COHERENCE_VERBOSE") != NULL)
        printf("peers %u: %" PRIu64 " operations, %" PRIu64 " faults, %" PRIu64 " messages, %" PRIu64 " jobs, %" PRIu64
               " gone, longest %" PRIu64 " us, %.3f s simulated\n",
               shape->peers, sim->operations, sim->faults, sim->messages, sim->jobs, sim->gone, sim->longest_ns / 1000,
               (double)(sim->now_ns - 1000000000u) / 1e9);
    for (unsigned i = 0; i <= shape->peers; i++)
        ck_assert_msg(!sim->nodes[i].alive || sim->operations_of[i] > sim->operations / 50,
                      "node %u starves: %" PRIu64 " of %" PRIu64, i, sim->operations_of[i], sim->operations);
    sim_destroy(sim);
}

static const struct sim_shape shapes[] = {
    {.peers = 1, .threads = 1, .pages = 2, .write_share = 500, .latency_ns = 10000, .hold_ns = 1},
    {.peers = 1, .threads = 2, .pages = 4, .write_share = 300, .latency_ns = 20000, .job_share = 20},
    {.peers = 2, .threads = 2, .pages = 8, .write_share = 300, .latency_ns = 20000, .job_share = 50, .span_share = 100},
    {.peers = 3, .threads = 3, .pages = 1, .write_share = 200, .latency_ns = 5000, .job_share = 50, .hold_ns = 1},
    {.peers = 4,
     .threads = 3,
     .pages = 24,
     .write_share = 200,
     .latency_ns = 20000,
     .job_share = 100,
     .span_share = 50},
    {.peers = 4, .threads = 4, .pages = 6, .write_share = 100, .latency_ns = 50000, .job_share = 100, .gone_share = 20},
    {.peers = 1, .threads = 2, .pages = 2, .write_share = 400, .latency_ns = 20000, .move_share = 300},
    {.peers = 4,
     .threads = 3,
     .pages = 8,
     .write_share = 400,
     .latency_ns = 20000,
     .job_share = 100,
     .span_share = 50,
     .gone_share = 10,
     .move_share = 100},
    {.peers = 5,
     .threads = 2,
     .pages = 12,
     .write_share = 700,
     .latency_ns = 3000,
     .job_share = 500,
     .hold_ns = 5000,
     .move_share = 20},
    {.peers = 1,
     .threads = 2,
     .pages = 2,
     .write_share = 300,
     .latency_ns = 5000,
     .hold_ns = 1,
     .foreign_share = 30,
     .move_share = 100},
    {.peers = 3,
     .threads = 3,
     .pages = 8,
     .write_share = 200,
     .latency_ns = 20000,
     .job_share = 100,
     .span_share = 50,
     .move_share = 50,
     .foreign_share = 10},
    {.peers = 3,
     .threads = 3,
     .pages = 8,
     .write_share = 200,
     .latency_ns = 20000,
     .job_share = 100,
     .span_share = 50,
     .move_share = 50,
     .foreign_share = 10,
     .guarded = true},
};

START_TEST(every_read_returns_the_latest_write)
{
    shape_run(&shapes[_i], 300000);
}
END_TEST

/* Every operation writes several of few pages at once: without hold times nobody would have them
 * all together. */
START_TEST(operations_on_several_pages_progress)
{
    static const struct sim_shape crowded[] = {
        {.peers = 1, .threads = 1, .pages = 2, .write_share = 1000, .span_share = 1000, .latency_ns = 30000},
        {.peers = 3, .threads = 2, .pages = 4, .write_share = 1000, .span_share = 1000, .latency_ns = 30000},
        {.peers = 3, .threads = 1, .pages = 4, .write_share = 200, .span_share = 1000, .latency_ns = 150000},
    };
    const struct sim_shape *shape = &crowded[_i];
    struct sim *sim = sim_create(shape, environment_number("COHERENCE_SEED", 1));
    sim_run(sim, 20000);
    if (getenv("COHERENCE_VERBOSE") != NULL)
        printf("crowded: longest %" PRIu64 " us, %.2f faults an operation, %" PRIu64 " us an operation\n",
               sim->longest_ns / 1000, (double)sim->faults / (double)sim->operations,
               (sim->now_ns - 1000000000u) / sim->operations / 1000);
    sim_destroy(sim);
}
END_TEST

/* Peers die one after the other while the others work on; what only a dead one had is lost, told,
 * and zero. */
START_TEST(a_node_that_dies_takes_only_its_own_pages)
{
    static const struct sim_shape shape = {
        .peers = 4,
        .threads = 3,
        .pages = 12,
        .write_share = 300,
        .latency_ns = 20000,
        .job_share = 100,
        .span_share = 50,
        .gone_share = 2,
        .move_share = 20,
    };
    for (unsigned round = 0; round < 40; round++) {
        struct sim *sim = sim_create(&shape, environment_number("COHERENCE_SEED", 1) * 1000 + round);
        for (unsigned peer = 1; peer <= shape.peers; peer++) {
            sim_run(sim, 500 + sim_below(sim, 5000));
            sim_kill(sim, peer);
        }
        sim_run(sim, 5000);
        sim_check_waits(sim);
        ck_assert_uint_le(sim->lost_seen, sim->lost);
        sim_destroy(sim);
    }
}
END_TEST

/* ---- malformed messages ---------------------------------------------------------------------- */

static uint64_t fuzz_page(struct sim *sim)
{
    static const uint64_t odd[] = {
        0,
        1,
        (SPAN_ZONE_START >> PAGE_SHIFT) - 1,
        SPAN_ZONE_END >> PAGE_SHIFT,
        UINT64_MAX,
        UINT64_MAX >> PAGE_SHIFT,
        1ull << 52,
        (SPAN_ZONE_END >> PAGE_SHIFT) + 1,
    };
    return sim_chance(sim, 950) ? SIM_FIRST + sim_below(sim, SIM_PAGES) : odd[sim_below(sim, 8)];
}

static size_t fuzz_payload(struct sim *sim, enum wire_type type, uint8_t *payload, bool quiet)
{
    static const uint16_t flags[] = {0, 0, WIRE_PAGE_DATA, WIRE_PAGE_ZERO, WIRE_PAGE_GONE, 3, 5, 6, 8, 0xffff};
    size_t bytes = sizeof(struct wire_page);
    if (type >= WIRE_RANGE_DROP) {
        uint64_t start = fuzz_page(sim) << PAGE_SHIFT;
        struct wire_range range = {
            .start = start,
            .end = sim_chance(sim, 900) ? start + ((sim_below(sim, 4) + 1) << PAGE_SHIFT) : sim_random(sim),
            .protection = sim_chance(sim, 900) ? 3 : (uint32_t)sim_random(sim),
            .sequence = (uint32_t)sim_below(sim, 4),
        };
        memcpy(payload, &range, sizeof range);
        return sim_chance(sim, 950) ? sizeof range : sim_below(sim, sizeof range + PAGE_BYTES);
    }
    struct wire_page message = {
        .page = fuzz_page(sim),
        .epoch = (uint32_t)sim_below(sim, 5),
        .drops = sim_chance(sim, 50) ? 1 : 0,
        .state = (uint8_t)(sim_chance(sim, 20) ? sim_random(sim) : sim_below(sim, 4)),
        .held = (uint8_t)(sim_chance(sim, 20) ? sim_random(sim) : sim_below(sim, 4)),
        .flags = flags[sim_below(sim, quiet ? 4 : 10)],
        .count = sim_chance(sim, 10),
    };
    memcpy(payload, &message, sizeof message);
    if (message.flags & WIRE_PAGE_DATA)
        bytes += PAGE_BYTES;
    return sim_chance(sim, 970) ? bytes : sim_below(sim, sizeof message + PAGE_BYTES);
}

/* One node under fire, alone: whatever comes is taken or refused, and the node's own invariants
 * hold. */
static void fuzz_node(unsigned number, uint64_t seed, uint64_t *accepted, uint64_t *refused)
{
    static const struct sim_shape shape = {
        .peers = 3, .threads = 1, .pages = SIM_PAGES, .latency_ns = 1000, .hold_ns = 1};
    struct sim *sim = sim_create(&shape, seed);
    struct sim_node *node = &sim->nodes[number];
    sim->fuzzed = sim->alone = true;
    for (unsigned i = 0; i < 3000; i++) {
        static const enum wire_type types[] = {
            WIRE_PAGE_REQUEST, WIRE_PAGE_GRANT,    WIRE_PAGE_RECALL, WIRE_PAGE_RETURN, WIRE_FILE_REQUEST,
            WIRE_RANGE_DROP,   WIRE_RANGE_PROTECT, WIRE_RANGE_DONE,  WIRE_CALL,
        };
        uint8_t *payload = calloc(1, sizeof(struct wire_page) + PAGE_BYTES);
        enum wire_type type = types[sim_below(sim, sizeof types / sizeof types[0])];
        size_t bytes = fuzz_payload(sim, type, payload, i % 2);
        uint8_t *exact = malloc(bytes + (bytes == 0)); /* so that a read beyond the end is seen */
        memcpy(exact, payload, bytes);
        sim->now_ns += 1000;
        sim->in_call = number + 1;
        unsigned from = number == 0 ? (unsigned)sim_below(sim, 5) : sim_chance(sim, 20);
        int result = coherence_message(node->coherence, from, type, exact, bytes);
        ck_assert(result == 0 || result == -EPROTO);
        *(result == 0 ? accepted : refused) += 1;
        if (sim_chance(sim, 200))
            coherence_fault(node->coherence, SIM_FIRST + sim_below(sim, SIM_PAGES), sim_chance(sim, 500));
        if (sim_chance(sim, 100))
            coherence_move(node->coherence, SIM_FIRST + sim_below(sim, SIM_PAGES), (unsigned)sim_below(sim, 5));
        if (number == 0 && !sim->job.running && sim_chance(sim, 5)) {
            sim->job = (struct sim_job){.kind = 'x', .running = true};
            coherence_recall(node->coherence, SIM_FIRST, SIM_FIRST + SIM_PAGES, 2, &sim->job);
        }
        coherence_tick(node->coherence);
        coherence_check(node->coherence);
        free(exact);
        free(payload);
    }
    sim_destroy(sim);
}

START_TEST(malformed_messages_are_refused)
{
    uint64_t accepted = 0, refused = 0, scale = environment_number("COHERENCE_OPERATIONS", 1);
    for (uint64_t round = 0; round < 20 * scale; round++) {
        fuzz_node(0, environment_number("COHERENCE_SEED", 1) * 1000 + round, &accepted, &refused);
        fuzz_node(1, environment_number("COHERENCE_SEED", 1) * 1000 + round, &accepted, &refused);
    }
    if (getenv("COHERENCE_VERBOSE") != NULL)
        printf("%" PRIu64 " accepted, %" PRIu64 " refused\n", accepted, refused);
    ck_assert_uint_gt(accepted, 0);
    ck_assert_uint_gt(refused, accepted);
}
END_TEST

/* A network at work in which fields of messages change on the way: every node goes on or refuses,
 * none breaks. */
START_TEST(altered_messages_are_survived)
{
    static const struct sim_shape shape = {
        .peers = 3,
        .threads = 3,
        .pages = 10,
        .write_share = 300,
        .latency_ns = 20000,
        .job_share = 200,
        .span_share = 50,
        .move_share = 50,
    };
    uint64_t refused = 0, rounds = 300 * environment_number("COHERENCE_OPERATIONS", 1);
    for (uint64_t round = 0; round < rounds; round++) {
        struct sim *sim = sim_create(&shape, environment_number("COHERENCE_SEED", 1) * 100000 + round);
        sim_run(sim, sim_below(sim, 2000));
        sim->fuzzed = true;
        sim_run(sim, 2000);
        for (unsigned i = 0; i <= shape.peers; i++)
            coherence_check(sim->nodes[i].coherence);
        refused += sim->refused;
        sim_destroy(sim);
    }
    ck_assert_uint_gt(refused, rounds / 2);
}
END_TEST

Suite *suite(void);
Suite *suite(void)
{
    Suite *suite = suite_create("coherence");
    TCase *simulation = tcase_create("simulation");
    tcase_set_timeout(simulation, 120);
    tcase_add_loop_test(simulation, every_read_returns_the_latest_write, 0, sizeof shapes / sizeof shapes[0]);
    tcase_add_loop_test(simulation, operations_on_several_pages_progress, 0, 3);
    tcase_add_test(simulation, a_node_that_dies_takes_only_its_own_pages);
    suite_add_tcase(suite, simulation);
    TCase *malformed = tcase_create("malformed");
    tcase_set_timeout(malformed, 120);
    tcase_add_test(malformed, malformed_messages_are_refused);
    tcase_add_test(malformed, altered_messages_are_survived);
    suite_add_tcase(suite, malformed);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
