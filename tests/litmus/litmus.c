/*
 * Runs litmus tests: each thread on a node of its own, many rounds for each movement of a page.
 * Not for what the tests do (bodies.c) nor for judging a whole selection (check-litmus).
 *
 *     litmus [--rounds N] [--reordered] [NAME...]      --list names the tests and their threads
 *
 * As litmus7 does it (Alglave et al., TACAS 2011): a round has a cell, locations that no other
 * round of the batch uses; the cells of a batch lie on several pages. Threads go through the same
 * cells, in runs: they begin a run at a time agreed on before, give or take a random delay, and are
 * not synchronised otherwise, since that would move pages. Runs are of 1 to 256 rounds; the fewer,
 * the more often the threads meet over a page that is under way, the more, the more rounds.
 *
 * One line for each test and layout: NAME LAYOUT ROUNDS, outcomes with their number, `forbidden N`,
 * `concurrent N`: rounds that came out as they only can when the threads overlapped. Exit status 1
 * when there was a forbidden one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "litmus.h"

#define PAGE_BYTES    4096u
#define AREA_PAGES    160u /* of each of x and y */
#define LEAD_FIRST_NS 3000000u
#define LEAD_MIN_NS   300000u
#define LEAD_MAX_NS   20000000u
_Static_assert(2 * AREA_PAGES * PAGE_BYTES <= AREA_BYTES, "the locations fit");
#define OUTCOMES 256u /* four results of two bits */

enum layout { SAME_PAGE, TWO_PAGES, UNALIGNED, CROSSING, LAYOUTS };
static const char *const layout_names[] = {"same-page", "two-pages", "unaligned", "page-crossing"};
static const unsigned layout_cells[] = {CELLS_MAX, CELLS_MAX, CELLS_MAX, AREA_PAGES - 1};
/* A cell that crosses a page boundary has it to itself: a round of it costs several movements. */
static const unsigned layout_share[] = {1, 1, 1, 48};

/*
 * Kinds of batches, in turn. The time from run to run is for two threads; a page that two nodes
 * want moves every 100 to 500 us. Where there is time for it, the threads bring pages to themselves
 * before the run.
 */
struct kind {
    unsigned run_rounds, runs, spacing_ns;
};
static const struct kind kinds[] = {
    {1, 64, 1500000}, {4, 32, 1500000}, {16, 256, 200000}, {64, 128, 250000}, {256, 32, 500000},
};
#define KINDS        (sizeof kinds / sizeof kinds[0])
#define WARM_SPACING 1000000u

struct batch {
    const struct test *test;
    const struct kind *kind;
    unsigned cells, number;
    bool reordered;
    uint64_t start_ns;
};

uint8_t *area_start;
static uint64_t *locations[2][CELLS_MAX];
static uint8_t results[THREADS_MAX][CELLS_MAX][RESULTS_MAX] __attribute__((aligned(4096)));
static struct batch batch __attribute__((aligned(4096)));
static uint64_t late_ns[THREADS_MAX]; /* after batch.start_ns, when the thread was ready */
static pthread_barrier_t barrier;
static cpu_set_t processors;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The same for the same arguments on every thread, and otherwise as good as random. */
static unsigned mix(unsigned a, unsigned b, unsigned c)
{
    uint64_t value = (a * 0x9e3779b97f4a7c15ul) ^ (b * 0xc2b2ae3d27d4eb4ful) ^ (c * 0x165667b19e3779f9ul);
    value ^= value >> 29;
    value *= 0xbf58476d1ce4e5b9ul;
    return (unsigned)(value >> 33);
}

void thread_place(unsigned thread, unsigned threads)
{
    unsigned count = (unsigned)CPU_COUNT(&processors), rank = 0;
    cpu_set_t own;
    CPU_ZERO(&own);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &processors) && rank++ == thread * count / threads)
            CPU_SET(cpu, &own);
    if (sched_setaffinity(0, sizeof own, &own) != 0) {
        perror("sched_setaffinity");
        exit(2);
    }
}

/* ---- locations
 * ------------------------------------------------------------------------------------------------------
 */

static uint64_t *location(enum layout layout, unsigned area, unsigned cell)
{
    switch (layout) {
    case SAME_PAGE: /* x in the first half, y in the second */
        return (uint64_t *)(area_start + (cell / 256) * PAGE_BYTES + area * (PAGE_BYTES / 2) + (cell % 256) * 8);
    case TWO_PAGES:
        return (uint64_t *)(area_start + area * AREA_PAGES * PAGE_BYTES + (cell / 512) * PAGE_BYTES + (cell % 512) * 8);
    case UNALIGNED: /* every fourth one across a cache line */
        return (uint64_t *)(area_start + area * AREA_PAGES * PAGE_BYTES + (cell / 254) * PAGE_BYTES +
                            (cell % 254) * 16 + 9);
    default: /* one to seven bytes on the first page */
        return (uint64_t *)(area_start + area * AREA_PAGES * PAGE_BYTES + (cell + 1) * PAGE_BYTES - 1 - cell % 7);
    }
}

static void locations_set(enum layout layout)
{
    for (unsigned cell = 0; cell < layout_cells[layout]; cell++)
        for (unsigned area = 0; area < 2; area++)
            locations[area][cell] = location(layout, area, cell);
}

/* ---- threads
 * --------------------------------------------------------------------------------------------------------
 */

/* Up to some movements of a page, in short runs; in long ones they would add up. */
static void delays_choose(const struct batch *own, struct run *run, unsigned number)
{
    static const unsigned inside[] = {0, 0, 0, 4, 60, 900, 4000, 9000}, between[] = {0, 0, 4, 60, 400};
    unsigned rounds = own->kind->run_rounds;
    run->inside = inside[mix(own->number, number, 1) % (rounds <= 4 ? 8 : rounds <= 16 ? 6 : 4)];
    run->between = between[mix(own->number, number, 2) % (rounds <= 16 ? 5 : 3)];
}

/* When the thread begins the run: in step, or out of it by up to a movement of a page. */
static uint64_t run_begin_ns(const struct batch *own, unsigned number, unsigned thread)
{
    static const unsigned jitter_ns[] = {300, 10000, 100000};
    return own->start_ns + (uint64_t)number * own->kind->spacing_ns * own->test->threads / 2 +
           mix(own->number, number, 16 + thread) % jitter_ns[mix(own->number, number, 3) % 3];
}

static void wait_until(uint64_t at_ns)
{
    while (now_ns() < at_ns)
        sched_yield(); /* who moves the pages may need this processor */
}

/* Writes that change nothing: the page comes to this node, as its only copy. */
static void warm_write(uint64_t *location)
{
    __asm__ volatile("lock orb $0, (%0)\n\tlock orb $0, 7(%0)" : : "r"(location) : "memory", "cc");
}

/*
 * Where a round finds its pages decides what can happen: with both on one node its thread is done
 * before the other one has begun; with one on each node both begin at once and have to wait in
 * their middle.
 */
static void run_warm(const struct batch *own, const struct run *run, unsigned number, unsigned thread)
{
    uint64_t *x = run->x[run->first], *y = run->y[run->first];
    switch (mix(own->number, number, 5) % 6) {
    case 0: /* as the run before has left them */
        break;
    case 1: /* a copy everywhere */
        (void)*(volatile uint8_t *)x, (void)*(volatile uint8_t *)y;
        break;
    case 2:
        warm_write(thread % 2 == 0 ? y : x);
        break;
    default:
        warm_write(thread % 2 == 0 ? x : y);
    }
}

static void batch_run(unsigned thread)
{
    const struct batch own = batch; /* from here on its page stays where it is */
    struct run run = {.x = locations[0], .y = locations[1], .results = results[thread], .reordered = own.reordered};
    memset(results[thread], 0, own.cells * sizeof results[thread][0]);
    if (mix(own.number, 0, 4) % own.test->threads == thread) /* the pages are here at first */
        for (unsigned cell = 0; cell < own.cells; cell++)
            memset(locations[0][cell], 0, 8), memset(locations[1][cell], 0, 8);
    pthread_barrier_wait(&barrier);
    uint64_t ready_ns = now_ns();
    for (unsigned number = 0; run.last < own.cells; number++) {
        run.first = run.last;
        run.last += own.kind->run_rounds;
        if (run.last > own.cells)
            run.last = own.cells;
        delays_choose(&own, &run, number);
        uint64_t begin_ns = run_begin_ns(&own, number, thread);
        if (own.kind->spacing_ns >= WARM_SPACING) {
            wait_until(begin_ns - own.kind->spacing_ns / 4 * 3);
            run_warm(&own, &run, number, thread);
        }
        wait_until(begin_ns);
        own.test->roles[thread](&run);
    }
    late_ns[thread] = ready_ns > own.start_ns ? ready_ns - own.start_ns : 0;
    pthread_barrier_wait(&barrier);
}

/* The next batch. It starts so much later as the slowest thread needs to be ready. */
static void batch_prepare(enum layout layout)
{
    static uint64_t lead_ns = LEAD_FIRST_NS;
    uint64_t most_ns = 0;
    for (unsigned thread = 0; thread < batch.test->threads; thread++)
        if (late_ns[thread] > most_ns)
            most_ns = late_ns[thread];
    lead_ns += most_ns != 0 ? 2 * most_ns : 0;
    lead_ns -= lead_ns / 16;
    lead_ns = lead_ns < LEAD_MIN_NS ? LEAD_MIN_NS : lead_ns > LEAD_MAX_NS ? LEAD_MAX_NS : lead_ns;
    batch.kind = &kinds[batch.number % (layout == CROSSING ? 2 : KINDS)];
    batch.cells = batch.kind->run_rounds * batch.kind->runs;
    if (batch.cells > layout_cells[layout])
        batch.cells = layout_cells[layout];
    batch.start_ns = now_ns() + lead_ns;
}

static void *thread_run(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    thread_place(thread, batch.test->threads);
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (batch.cells == 0)
            return NULL;
        batch_run(thread);
    }
}

/* ---- what came out
 * --------------------------------------------------------------------------------------------------
 */

struct report {
    unsigned long outcomes[OUTCOMES], judged[3], rounds;
};

static enum seen seen_final(uint64_t value)
{
    return value == VALUE_SECOND ? SEEN_OLD : value == VALUE_FIRST ? SEEN_NEW : SEEN_TORN;
}

static void batch_judge(struct report *report)
{
    const struct test *test = batch.test;
    for (unsigned cell = 0; cell < batch.cells; cell++) {
        uint8_t seen[THREADS_MAX * RESULTS_MAX];
        unsigned outcome = 0;
        for (unsigned i = 0; i < sizeof seen; i++)
            seen[i] = results[i / RESULTS_MAX][cell][i % RESULTS_MAX];
        if (test->final) {
            uint64_t value;
            for (unsigned area = 0; area < 2; area++) {
                memcpy(&value, locations[area][cell], sizeof value);
                seen[area] = (uint8_t)seen_final(value);
            }
        }
        for (unsigned i = 0; i < test->shown_count; i++)
            outcome = outcome << 2 | seen[test->shown[i]];
        report->outcomes[outcome]++;
        report->judged[test->judge(seen)]++;
        report->rounds++;
    }
}

static void report_print(const struct test *test, const char *layout, const struct report *report)
{
    const char *letters = test->final ? "21t" : SEEN_LETTERS;
    printf("%s %s %lu:", test->name, layout, report->rounds);
    for (unsigned outcome = 0; outcome < OUTCOMES; outcome++) {
        if (report->outcomes[outcome] == 0)
            continue;
        putchar(' ');
        for (unsigned i = test->shown_count; i-- > 0;)
            putchar(letters[outcome >> 2 * i & 3]);
        printf("=%lu", report->outcomes[outcome]);
    }
    printf(" forbidden %lu concurrent %lu\n", report->judged[FORBIDDEN], report->judged[CONCURRENT]);
    fflush(stdout);
}

static bool layout_run(const struct test *test, enum layout layout, unsigned long rounds, bool reordered)
{
    struct report report = {.rounds = 0};
    pthread_t threads[THREADS_MAX];
    locations_set(layout);
    batch = (struct batch){.test = test, .reordered = reordered};
    pthread_barrier_init(&barrier, NULL, test->threads);
    for (uintptr_t thread = 1; thread < test->threads; thread++)
        if (pthread_create(&threads[thread], NULL, thread_run, (void *)thread) != 0)
            exit(2);
    thread_place(0, test->threads);
    for (; report.rounds < rounds / layout_share[layout]; batch.number++) {
        batch_prepare(layout);
        pthread_barrier_wait(&barrier);
        batch_run(0);
        batch_judge(&report);
    }
    batch.cells = 0;
    pthread_barrier_wait(&barrier);
    for (unsigned thread = 1; thread < test->threads; thread++)
        pthread_join(threads[thread], NULL);
    pthread_barrier_destroy(&barrier);
    report_print(test, layout_names[layout], &report);
    return report.judged[FORBIDDEN] == 0;
}

static bool test_run(const struct test *test, unsigned long rounds, bool reordered)
{
    bool good = true;
    for (unsigned layout = 0; layout < LAYOUTS; layout++)
        if (!(test->aligned && layout >= UNALIGNED) && !(test->one && layout == SAME_PAGE))
            good &= layout_run(test, layout, rounds, reordered);
    return good;
}

static void area_map(void)
{
    area_start = mmap((void *)AREA_ADDRESS, AREA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (area_start == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
}

static void list_print(void)
{
    for (size_t i = 0; i < test_count; i++)
        printf("%s %u%s\n", tests[i].name, tests[i].threads, tests[i].weak ? " weak" : "");
    for (size_t i = 0; i < counting_count; i++)
        printf("%s %u\n", countings[i].name, countings[i].threads);
}

static bool named_run(const char *name, unsigned long rounds, bool reordered)
{
    for (size_t i = 0; i < test_count; i++)
        if (strcmp(tests[i].name, name) == 0)
            return test_run(&tests[i], rounds, reordered);
    for (size_t i = 0; i < counting_count; i++)
        if (strcmp(countings[i].name, name) == 0)
            return counting_run(&countings[i], rounds, reordered);
    fprintf(stderr, "litmus: no test %s (see --list)\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned long rounds = 100000;
    bool reordered = false, good = true;
    if (sched_getaffinity(0, sizeof processors, &processors) != 0)
        return 2;
    area_map();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--list") == 0)
            list_print();
        else if (strcmp(argv[i], "--reordered") == 0)
            reordered = true;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtoul(argv[++i], NULL, 10);
        else
            good &= named_run(argv[i], rounds, reordered);
    }
    return good ? 0 : 1;
}
