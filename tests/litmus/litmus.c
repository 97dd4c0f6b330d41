/*
 * Litmus tests of x86: small programs for two to four threads, each on a processor of its own, that show whether memory
 * keeps the order of total store order (Intel SDM 3A, 9.2; Owens, Sarkar, Sewell, "A better x86 memory model").
 * Usage: litmus NAME ROUNDS [apart|same]   apart: each variable in a page of its own; same: all in one page
 *        litmus                            names of the tests, with the number of their threads
 * Prints how often each outcome was seen, forbidden ones marked, and exits 1 when there was one. Not for measuring.
 *
 * Moving a page between nodes takes longer than ten thousand instructions. So a batch of rounds has its variables side by
 * side, the threads run through the batch at once, each with pauses of random length, and pages move in the midst of it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS_MAX   4
#define VARIABLES     2
#define RESULTS_MAX   2 /* of one thread */
#define PAGE          4096ul
#define BATCH         128u /* rounds: with both variables they fill a page */
#define SLOT          (PAGE / BATCH / VARIABLES)
#define PAUSE_MAX     32768u /* turns of a loop that takes about half a nanosecond each: a page moves in 100 us */
#define OUTCOMES_MAX  64u

typedef volatile uint32_t word;

/* ---- instructions, as they stand ---- */

static inline void store(word *at, uint32_t value)
{
    __asm__ volatile("movl %1, %0" : "=m"(*at) : "r"(value) : "memory");
}

static inline uint32_t load(word *at)
{
    uint32_t value;
    __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*at) : "memory");
    return value;
}

static inline void fence(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

static inline uint32_t exchange(word *at, uint32_t value)
{
    __asm__ volatile("xchgl %0, %1" : "+r"(value), "+m"(*at) : : "memory");
    return value;
}

static inline void locked_add(word *at)
{
    __asm__ volatile("lock addl $1, %0" : "+m"(*at) : : "memory", "cc");
}

/* ---- the tests: what each thread does in a round, and which outcomes are forbidden ---- */

struct round {
    word *x, *y;
    uint32_t *r; /* of this thread */
};

struct outcome {
    const uint32_t (*r)[RESULTS_MAX]; /* by thread */
    uint32_t x, y;                    /* at the end */
};

typedef void step(const struct round *round);

static void x1_y1(const struct round *q) { store(q->x, 1); store(q->y, 1); }
static void y_x(const struct round *q) { q->r[0] = load(q->y); q->r[1] = load(q->x); }
static void x_y(const struct round *q) { q->r[0] = load(q->x); q->r[1] = load(q->y); }
static void x_x(const struct round *q) { q->r[0] = load(q->x); q->r[1] = load(q->x); }
static void only_x1(const struct round *q) { store(q->x, 1); }
static void only_y1(const struct round *q) { store(q->y, 1); }
static void x1_then_y(const struct round *q) { store(q->x, 1); q->r[0] = load(q->y); }
static void y1_then_x(const struct round *q) { store(q->y, 1); q->r[0] = load(q->x); }
static void x1_fence_y(const struct round *q) { store(q->x, 1); fence(); q->r[0] = load(q->y); }
static void y1_fence_x(const struct round *q) { store(q->y, 1); fence(); q->r[0] = load(q->x); }
static void x1_xchg_y(const struct round *q) { exchange(q->x, 1); q->r[0] = load(q->y); }
static void y1_xchg_x(const struct round *q) { exchange(q->y, 1); q->r[0] = load(q->x); }
static void x1_lock_y(const struct round *q) { word own = 0; store(q->x, 1); locked_add(&own); q->r[0] = load(q->y); }
static void y1_lock_x(const struct round *q) { word own = 0; store(q->y, 1); locked_add(&own); q->r[0] = load(q->x); }
static void x_then_y1(const struct round *q) { q->r[0] = load(q->x); store(q->y, 1); }
static void y_then_x1(const struct round *q) { q->r[0] = load(q->y); store(q->x, 1); }
static void x1_y2(const struct round *q) { store(q->x, 1); store(q->y, 2); }
static void y1_x2(const struct round *q) { store(q->y, 1); store(q->x, 2); }
static void x2_y1(const struct round *q) { store(q->x, 2); store(q->y, 1); }
static void y2_fence_x(const struct round *q) { store(q->y, 2); fence(); q->r[0] = load(q->x); }

static bool never(const struct outcome *o) { (void)o; return false; }
static bool mp(const struct outcome *o) { return o->r[1][0] == 1 && o->r[1][1] == 0; }
static bool both_0(const struct outcome *o) { return o->r[0][0] == 0 && o->r[1][0] == 0; }
static bool both_1(const struct outcome *o) { return o->r[0][0] == 1 && o->r[1][0] == 1; }
static bool w22(const struct outcome *o) { return o->x == 1 && o->y == 1; }
static bool s_test(const struct outcome *o) { return o->r[1][0] == 1 && o->x == 2; }
static bool r_test(const struct outcome *o) { return o->y == 2 && o->r[1][0] == 0; }
static bool iriw(const struct outcome *o)
{
    return o->r[2][0] == 1 && o->r[2][1] == 0 && o->r[3][0] == 1 && o->r[3][1] == 0;
}
static bool wrc(const struct outcome *o) { return o->r[1][0] == 1 && o->r[2][0] == 1 && o->r[2][1] == 0; }

static const struct test {
    const char *name;
    unsigned threads;
    step *steps[THREADS_MAX];
    unsigned results[THREADS_MAX];
    bool (*forbidden)(const struct outcome *outcome);
    bool ends; /* the values at the end belong to the outcome */
} tests[] = {
    {"MP", 2, {x1_y1, y_x}, {0, 2}, mp, false},
    {"SB", 2, {x1_then_y, y1_then_x}, {1, 1}, never, false},
    {"SB+mfences", 2, {x1_fence_y, y1_fence_x}, {1, 1}, both_0, false},
    {"SB+xchgs", 2, {x1_xchg_y, y1_xchg_x}, {1, 1}, both_0, false},
    {"SB+locks", 2, {x1_lock_y, y1_lock_x}, {1, 1}, both_0, false},
    {"LB", 2, {x_then_y1, y_then_x1}, {1, 1}, both_1, false},
    {"2+2W", 2, {x1_y2, y1_x2}, {0, 0}, w22, true},
    {"S", 2, {x2_y1, y_then_x1}, {0, 1}, s_test, true},
    {"R+mfence", 2, {x1_y1, y2_fence_x}, {0, 1}, r_test, true},
    {"CoRR", 2, {only_x1, x_x}, {0, 2}, mp, false},
    {"WRC", 3, {only_x1, x_then_y1, y_x}, {0, 1, 2}, wrc, false},
    {"IRIW", 4, {only_x1, only_y1, x_y, y_x}, {0, 0, 2, 2}, iriw, false},
};

/* ---- running them ---- */

static struct {
    const struct test *test;
    unsigned long batches;
    bool same;
    uint8_t *variables; /* two pages */
    uint32_t (*results[THREADS_MAX])[RESULTS_MAX]; /* BATCH of each thread, in pages of its own */
    struct {
        _Atomic uint32_t waiting, turn;
    } *gate;
    unsigned outcome_count;
    bool failed;
    struct seen {
        uint32_t values[THREADS_MAX * RESULTS_MAX + VARIABLES];
        unsigned long times;
        bool forbidden;
    } seen[OUTCOMES_MAX];
} run;

static void *pages(size_t bytes)
{
    void *memory = mmap(NULL, (bytes + PAGE - 1) & ~(PAGE - 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("litmus: mmap");
        exit(2);
    }
    return memory;
}

static word *variable(unsigned round, unsigned number)
{
    size_t at = run.same ? (round * VARIABLES + number) * SLOT : number * PAGE + round * SLOT;
    return (word *)(run.variables + at);
}

/* All threads; the last one to come does `once` first. */
static void gate(void (*once)(void))
{
    uint32_t turn = run.gate->turn;
    if (atomic_fetch_add(&run.gate->waiting, 1) + 1 == run.test->threads) {
        once();
        run.gate->waiting = 0;
        run.gate->turn = turn + 1;
        return;
    }
    while (run.gate->turn == turn)
        sched_yield();
}

static void clear(void)
{
    memset(run.variables, 0, VARIABLES * PAGE);
}

static void outcome_count(const uint32_t values[], bool forbidden)
{
    unsigned i = 0;
    while (i < run.outcome_count && memcmp(run.seen[i].values, values, sizeof run.seen[i].values) != 0)
        i++;
    if (i == OUTCOMES_MAX)
        return;
    if (i == run.outcome_count) {
        memcpy(run.seen[i].values, values, sizeof run.seen[i].values);
        run.seen[i].forbidden = forbidden;
        run.outcome_count++;
    }
    run.seen[i].times++;
    run.failed |= forbidden;
}

static void judge(void)
{
    for (unsigned round = 0; round < BATCH; round++) {
        uint32_t r[THREADS_MAX][RESULTS_MAX] = {{0}}, values[THREADS_MAX * RESULTS_MAX + VARIABLES] = {0};
        for (unsigned t = 0; t < run.test->threads; t++)
            memcpy(r[t], run.results[t][round], run.test->results[t] * sizeof r[t][0]);
        struct outcome outcome = {(const uint32_t(*)[RESULTS_MAX])r, *variable(round, 0), *variable(round, 1)};
        memcpy(values, r, sizeof r);
        if (run.test->ends) {
            values[THREADS_MAX * RESULTS_MAX] = outcome.x;
            values[THREADS_MAX * RESULTS_MAX + 1] = outcome.y;
        }
        outcome_count(values, run.test->forbidden(&outcome));
    }
}

static void pause_for(uint32_t turns)
{
    while (turns-- > 0)
        __asm__ volatile("" : : : "memory");
}

static void *thread_main(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(number % (unsigned)processors, &mask);
    sched_setaffinity(0, sizeof mask, &mask);
    uint32_t random = 0x9e3779b9u * (number + 1);
    for (unsigned long batch = 0; batch < run.batches; batch++) {
        gate(clear);
        /* Some batches with long pauses, some with short ones. */
        uint32_t longest = PAUSE_MAX >> (batch % 8);
        for (unsigned round = 0; round < BATCH; round++) {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            pause_for(longest ? random % longest : 0);
            const struct round q = {variable(round, 0), variable(round, 1), run.results[number][round]};
            run.test->steps[number](&q);
        }
        gate(judge);
    }
    return NULL;
}

static void print(void)
{
    for (unsigned i = 0; i < run.outcome_count; i++) {
        const struct seen *seen = &run.seen[i];
        printf("%12lu ", seen->times);
        for (unsigned t = 0; t < run.test->threads; t++)
            for (unsigned r = 0; r < run.test->results[t]; r++)
                printf(" %u:r%u=%u", t, r, seen->values[t * RESULTS_MAX + r]);
        if (run.test->ends)
            printf(" x=%u y=%u", seen->values[THREADS_MAX * RESULTS_MAX], seen->values[THREADS_MAX * RESULTS_MAX + 1]);
        printf("%s\n", seen->forbidden ? "  FORBIDDEN" : "");
    }
}

int main(int argc, char **argv)
{
    const size_t count = sizeof tests / sizeof tests[0];
    if (argc == 1) {
        for (size_t i = 0; i < count; i++)
            printf("%s %u\n", tests[i].name, tests[i].threads);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].name, argv[1]) == 0)
            run.test = &tests[i];
    if (!run.test || argc < 3 || atol(argv[2]) <= 0) {
        fprintf(stderr, "usage: litmus [NAME ROUNDS [apart|same]]\n");
        return 2;
    }
    run.batches = ((unsigned long)atol(argv[2]) + BATCH - 1) / BATCH;
    run.same = argc > 3 && strcmp(argv[3], "same") == 0;
    run.variables = pages(VARIABLES * PAGE);
    run.gate = pages(sizeof *run.gate);
    pthread_t threads[THREADS_MAX];
    for (unsigned t = 0; t < run.test->threads; t++)
        run.results[t] = pages(BATCH * sizeof *run.results[t]);
    for (unsigned t = 0; t < run.test->threads; t++)
        if (pthread_create(&threads[t], NULL, thread_main, (void *)(uintptr_t)t) != 0)
            return 2;
    for (unsigned t = 0; t < run.test->threads; t++)
        pthread_join(threads[t], NULL);
    print();
    return run.failed ? 1 : 0;
}
