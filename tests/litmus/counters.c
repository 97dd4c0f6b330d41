/*
 * Locked operations as counters: threads on different nodes add to one counter; no addition may be
 * lost or done twice, and what a thread is given only grows. Not for locked operations as fences:
 * bodies.c.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "litmus.h"

#define PAGE_BYTES 4096u

struct counter {
    const struct counting *counting;
    uint64_t *value;
    unsigned long each; /* additions of each thread */
    bool plain;         /* without the lock */
    pthread_barrier_t barrier;
};

/* What one thread saw. */
struct tally {
    unsigned long handovers; /* another thread added between two additions of this one */
    unsigned long backwards;
    uint64_t sum; /* of the values that it was given */
};

/* Bursts of additions and pauses, so that a thread is not done before the page has moved once. */
#define BURST_MAX 64u
#define PAUSE_MAX 1000u

static struct counter counter;
static struct tally tallies[THREADS_MAX];

static uint64_t add_xadd(uint64_t *value)
{
    uint64_t one = 1;
    __asm__ volatile("lock xadd %0, (%1)" : "+r"(one) : "r"(value) : "memory", "cc");
    return one;
}

static uint64_t add_cmpxchg(uint64_t *value)
{
    uint64_t seen = *(volatile uint64_t *)value, expected;
    do {
        expected = seen;
        __asm__ volatile("lock cmpxchg %2, (%1)" : "+a"(seen) : "r"(value), "r"(expected + 1) : "memory", "cc");
    } while (seen != expected);
    return seen;
}

static uint64_t add_plain(uint64_t *value)
{
    uint64_t seen = *(volatile uint64_t *)value;
    *(volatile uint64_t *)value = seen + 1;
    return seen;
}

/* Before addition `i`: a pause now and then, or each time where two pages have to come for each. */
static void burst_pause(unsigned thread, unsigned long i)
{
    uint64_t value = (i + 1 + thread) * 0x9e3779b97f4a7c15ul;
    if (!counter.counting->crossing && (value >> 33) % BURST_MAX > i / 1024 % 16)
        return;
    for (uint64_t count = (value >> 40) % PAUSE_MAX; count != 0; count--)
        sched_yield(); /* who moves the page may need this processor */
}

static void *thread_count(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    struct tally tally = {0};
    uint64_t last = 0;
    thread_place(thread, counter.counting->threads);
    pthread_barrier_wait(&counter.barrier);
    for (unsigned long i = 0; i < counter.each; i++) {
        burst_pause(thread, i);
        uint64_t given = counter.plain                ? add_plain(counter.value)
                         : counter.counting->exchange ? add_cmpxchg(counter.value)
                                                      : add_xadd(counter.value);
        tally.handovers += i != 0 && given != last + 1;
        tally.backwards += i != 0 && given <= last;
        tally.sum += given;
        last = given;
    }
    tallies[thread] = tally;
    pthread_barrier_wait(&counter.barrier);
    return NULL;
}

bool counting_run(const struct counting *counting, unsigned long total, bool reordered)
{
    pthread_t threads[THREADS_MAX];
    struct tally all = {0};
    counter.counting = counting;
    counter.plain = reordered;
    /* Where the boundary lies inside it, an addition needs two pages at once, and the bus for
     * itself. */
    counter.value = (uint64_t *)(area_start + PAGE_BYTES - (counting->crossing ? 3 : 8));
    memset(area_start, 0, 2 * PAGE_BYTES);
    counter.each = total / (counting->crossing ? 64 : 1) / counting->threads;
    pthread_barrier_init(&counter.barrier, NULL, counting->threads);
    for (uintptr_t thread = 1; thread < counting->threads; thread++)
        if (pthread_create(&threads[thread], NULL, thread_count, (void *)thread) != 0)
            exit(2);
    thread_count(NULL);
    for (unsigned thread = 1; thread < counting->threads; thread++)
        pthread_join(threads[thread], NULL);
    for (unsigned thread = 0; thread < counting->threads; thread++) {
        all.handovers += tallies[thread].handovers;
        all.backwards += tallies[thread].backwards;
        all.sum += tallies[thread].sum;
    }
    uint64_t done = counter.each * counting->threads, value;
    memcpy(&value, counter.value, sizeof value);
    uint64_t lost = value < done ? done - value : value - done;
    bool given_once = all.sum == done * (done - 1) / 2;
    printf("%s %s %lu: counted=%lu forbidden %lu concurrent %lu\n", counting->name,
           counting->crossing ? "page-crossing" : "one-word", done, value,
           lost + all.backwards + (lost == 0 && !given_once), all.handovers);
    fflush(stdout);
    return lost == 0 && all.backwards == 0 && given_once;
}

const struct counting countings[] = {
    {"count-xadd", 2, false, false},
    {"count-cmpxchg", 3, false, true},
    {"count-crossing", 2, true, false},
};
const size_t counting_count = sizeof countings / sizeof countings[0];
