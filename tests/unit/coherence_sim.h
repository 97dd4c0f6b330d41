/*
 * The simulation of coherence_network.h: its world, chance, time and the oracle. Not for what nodes do.
 */
#ifndef COHERENCE_SIM_H
#define COHERENCE_SIM_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/coherence.h"

#define SIM_NODES         6
#define SIM_PAGES         24
#define SIM_THREADS       4                                                                /* on each node */
#define SIM_WORDS         8                                                                /* of a page that are used */
#define SIM_FIRST         ((SPAN_ZONE_START >> PAGE_SHIFT) + 512 * 7 - SIM_PAGES / 2 - 16) /* across two blocks */
#define SIM_SPAN          4
#define SIM_WAIT_NS       400000000ull /* no operation takes longer, in simulated time */
#define SIM_FUZZED_EVENTS 200000u      /* far more than the operations of a run need */

enum sim_event_type {
    EVENT_THREAD,
    EVENT_FAULT,
    EVENT_FOREIGN,
    EVENT_WRITTEN,
    EVENT_MESSAGE,
    EVENT_TICK,
    EVENT_JOB,
    EVENT_THAW
};

struct sim_message {
    struct sim_message *next;
    uint64_t at_ns;
    uint32_t type, bytes;
    uint8_t payload[sizeof(struct wire_page) + PAGE_BYTES];
};

struct sim_event {
    uint64_t at_ns, order;
    uint8_t type, node, other;
    bool write, there;
    uint32_t page;
    uint32_t generation; /* of the node's ticks; of a page that the kernel holds */
};

struct sim_page {
    bool mapped, present, writable;
    bool promised; /* a peer's, which may find that it is not mapped any more */
    uint8_t drops; /* home: so many times it was dropped */
    uint32_t held; /* home: the kernel will write to it for another process; a number, 0: not */
    uint64_t words[PAGE_BYTES / 8];
};

struct sim_thread {
    unsigned count;
    unsigned pages[SIM_SPAN];
    bool writes[SIM_SPAN];
    unsigned word;
    bool active;
    int blocked; /* page, -1: none */
    uint64_t since_ns;
    unsigned faults;
};

struct sim_stream {
    struct sim_message *first, **last;
    uint64_t busy_until_ns;
};

struct sim_job {
    char kind; /* d, p, r, f */
    unsigned start, end;
    bool running;
};

struct sim_node {
    struct coherence *coherence;
    struct sim *sim;
    unsigned number;
    bool alive;
    uint32_t tick_generation;
    struct sim_page pages[SIM_PAGES];
    struct sim_page other; /* stands for all others when messages are made up */
    struct sim_thread threads[SIM_THREADS];
};

/* What a run is made of; probabilities in 1/1000 of an operation. */
struct sim_shape {
    unsigned peers, threads, pages;
    uint64_t hold_ns;
    unsigned write_share;   /* of accesses, in 1/1000 */
    unsigned span_share;    /* of operations that need several pages */
    unsigned job_share;     /* of operations that start a job, when none runs */
    unsigned gone_share;    /* of installs that find no mapping */
    unsigned move_share;    /* of operations after which pages go to another node unasked */
    unsigned foreign_share; /* of events at which another process begins to write to the program's memory */
    bool guarded;           /* it is a device, and does not fault */
    uint64_t latency_ns;    /* of a message, mean */
};

struct sim {
    struct sim_shape shape;
    uint64_t seed, now_ns, order;
    struct sim_node nodes[SIM_NODES];
    struct sim_stream streams[SIM_NODES][SIM_NODES];
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    struct sim_job job;
    uint64_t oracle[SIM_PAGES][SIM_WORDS];
    uint64_t written;         /* value of the last write */
    uint32_t holds;           /* times that the kernel got hold of a page */
    bool loose[SIM_PAGES];    /* being dropped: anything may be read */
    bool doubtful[SIM_PAGES]; /* a node died: the latest contents, or all zero */
    size_t lost, lost_seen;
    uint32_t epoch[SIM_PAGES];
    unsigned writer[SIM_PAGES];
    bool frozen;
    bool protected;   /* a fault on a page that was there is being handled */
    bool fuzzed;      /* messages are made up: of what nodes agree on, nothing is expected */
    bool alone;       /* nothing is delivered */
    bool refused;     /* a fuzzed message was */
    bool resting;     /* threads end what they do and begin nothing */
    unsigned in_call; /* node whose coherence is at work + 1: operations must not nest */
    uint64_t operations, faults, jobs, gone, longest_ns, messages, operations_of[SIM_NODES];
};

static _Noreturn void sim_fail(const struct sim *sim, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "simulation at %" PRIu64 " ns, operation %" PRIu64 ": ", sim->now_ns, sim->operations);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}
#define SIM_ASSERT(sim, condition, ...)                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            sim_fail(sim, __VA_ARGS__);                                                                                \
    } while (0)

static uint64_t sim_random(struct sim *sim)
{
    uint64_t z = (sim->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t sim_below(struct sim *sim, uint64_t limit)
{
    return sim_random(sim) % limit;
}

static bool sim_chance(struct sim *sim, unsigned in_1000)
{
    return sim_below(sim, 1000) < in_1000;
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void event_add(struct sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? 2 * sim->heap_capacity : 256;
        sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof *sim->heap);
    }
    event.order = sim->order++;
    size_t at = sim->heap_count++;
    for (; at > 0 && event_before(&event, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = event;
}

static struct sim_event event_take(struct sim *sim)
{
    struct sim_event first = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && event_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (event_before(&last, &sim->heap[child]))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

static void thread_schedule(struct sim *sim, unsigned node, unsigned thread, uint64_t in_ns)
{
    event_add(sim,
              (struct sim_event){
                  .at_ns = sim->now_ns + in_ns, .type = EVENT_THREAD, .node = (uint8_t)node, .other = (uint8_t)thread});
}

#endif
