/*
 * Litmus tests of the x86 memory model (Intel SDM volume 3, 9.2.3; AMD APM volume 2, 7.2): what a
 * test is, and where its locations lie. Not for running them (litmus.c) nor for what the tests do
 * (bodies.c).
 */
#ifndef TESTS_LITMUS_LITMUS_H
#define TESTS_LITMUS_LITMUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELLS_MAX   8192u /* rounds of one batch: each has a cell, its own locations */
#define THREADS_MAX 4
#define RESULTS_MAX 2 /* of one thread in one round */

/* What a load saw. A store that crosses a cache line or page is several accesses: a load may find a
 * part of it. */
enum seen { SEEN_OLD, SEEN_NEW, SEEN_TORN, SEEN_BACK /* older than a load before it */ };
#define SEEN_LETTERS "01t<"

/* Values: every byte the same, so that parts can be told. */
#define VALUE_FIRST  0x0101010101010101ul
#define VALUE_SECOND 0x0202020202020202ul

/* Rounds [first, last) of one thread, without a pause of its own making but the delays. */
struct run {
    uint64_t *const *x, *const *y;   /* by cell; alignment is the layout's */
    uint8_t (*results)[RESULTS_MAX]; /* by cell, this thread's */
    unsigned first, last;
    unsigned inside, between; /* delays: pause instructions between the accesses of a round, between rounds */
    bool reordered;           /* with the accesses in the order that the processor must not make visible */
};

enum judgement { ALLOWED, CONCURRENT /* allowed, and only when the threads overlap */, FORBIDDEN };

/* `seen`: results of thread 0, 1, ..., RESULTS_MAX of each. */
typedef enum judgement judge_function(const uint8_t *seen);

struct test {
    const char *name;
    unsigned threads;
    void (*roles[THREADS_MAX])(struct run *run);
    judge_function *judge;
    unsigned shown[4], shown_count; /* indices into `seen` that make an outcome */
    bool weak;                      /* x86 forbids no outcome: for comparison */
    bool final;                     /* the outcome is what the memory holds at the end, in seen[0] and seen[1] */
    bool aligned;                   /* locked operations on the locations: not across cache lines */
    bool one;                       /* one location: all layouts have it, but one is like another */
};

extern const struct test tests[];
extern const size_t test_count;

uint8_t seen_value(uint64_t value); /* enum seen */

/* counters.c: `total` locked additions by `threads` threads, in their own kind of report. True when
 * none was lost. */
struct counting {
    const char *name;
    unsigned threads;
    bool crossing; /* a page boundary lies inside the counter */
    bool exchange; /* lock cmpxchg in a loop instead of lock xadd */
};
extern const struct counting countings[];
extern const size_t counting_count;
bool counting_run(const struct counting *counting, unsigned long total, bool reordered);

/*
 * litmus.c: where all locations lie, zero at first, and nothing else: at an address that
 * check-mutants knows, so that it can break the movement of these pages alone.
 */
#define AREA_ADDRESS 0x200000000000ul
#define AREA_BYTES   (4ul << 20)
extern uint8_t *area_start;

/* litmus.c: binds the calling thread to processors of node `thread` of `threads`. */
void thread_place(unsigned thread, unsigned threads);

#endif
