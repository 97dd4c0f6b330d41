/* Between the files of the world: what there is, events and pages. */
#ifndef SIMULATE_WORLD_PRIVATE_H
#define SIMULATE_WORLD_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/coherence.h"
#include "tests/simulate/world.h"

#define PAGE_BASE ((SPAN_ZONE_START >> PAGE_SHIFT) + 512)

/* One access of one copy of one actor. */
struct access {
    uint32_t step;
    uint16_t copy;
    uint8_t actor;
};

enum item_type { ITEM_MESSAGE, ITEM_FAULT, ITEM_RANGE };

struct item {
    struct item *next;
    struct access access;   /* ITEM_RANGE */
    uint64_t page;          /* ITEM_FAULT */
    struct wire_page frame; /* ITEM_MESSAGE, as struct wire_range where that is its payload */
    uint16_t type;          /* of the frame */
    uint8_t kind, from, to;
    bool data, write;
};

struct waiter {
    struct waiter *next;
    struct access access;
    uint64_t page, since_ns, woken_ns; /* woken_ns 0: asleep */
    bool write;
};

enum event_type { EVENT_ACCESS, EVENT_ARRIVAL, EVENT_TURN, EVENT_TICK };

struct event {
    uint64_t at_ns, order;
    uint64_t since_ns; /* EVENT_ACCESS: of a thread that tries again; 0 */
    union {
        struct item *item;
        struct access access;
        uint32_t generation;
    };
    uint8_t type, node;
};

/* What was busy, and for how long in each stretch of WINDOW_NS. */
struct meter {
    uint64_t busy_ns, *windows;
    size_t count;
};

/* A page and those that wait for it. */
struct wanted {
    uint64_t since_ns, total_ns;
    uint32_t waiters;
};

struct node {
    struct world *world;
    struct coherence *coherence;
    struct item *first, **last; /* what has arrived */
    struct item *staged, **staged_last;
    struct waiter *waiters;
    uint64_t clock_ns;                /* in a turn: how far it is */
    uint64_t free_ns;                 /* when the last turn was over */
    uint64_t out_free_ns, in_free_ns; /* the link, each way */
    struct meter loop, out, in;       /* of the link, each way */
    uint32_t generation;              /* of the tick that counts */
    unsigned number;
    bool turn_due, removed; /* pages were removed in this turn */
};

struct world {
    const struct trace *trace;
    struct world_model model;
    unsigned node_count, peer_actors, copies;
    uint64_t now_ns, order, seed;
    struct node nodes[NODES_MAX];
    struct event *heap;
    size_t heap_count, heap_capacity;
    bool *written;
    struct wanted *wanted; /* by page, as written */
    uint64_t page_total;
    uint64_t left, end_ns; /* steps not done */
    uint64_t *latencies;
    size_t latency_count, latency_capacity;
    uint64_t shared_ns, shared_count; /* of those on pages of several peers */
    struct world_result *result;
};

_Noreturn void world_fail(const struct world *world, const char *what);
#define WORLD_ASSERT(world, condition)                                                                                 \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            world_fail(world, #condition);                                                                             \
    } while (0)

/* ---- world_events.c: when what happens, and how long what was busy ---- */

void event_add(struct world *world, struct event event);
struct event event_take(struct world *world);
/* The node's loop has something to do: its next turn is arranged. */
void turn_want(struct world *world, struct node *node);
void item_arrive(struct world *world, struct node *node, struct item *item);
void meter_add(struct world *world, struct meter *meter, uint64_t from_ns, uint64_t to_ns);
/* The part of the stretches in which it was busy for nearly all the time. */
double meter_full(const struct meter *meter, uint64_t time_ns);
/* Somebody begins, or ends, to wait for the page. */
void wanted_begin(struct world *world, uint64_t page);
void wanted_end(struct world *world, uint64_t page, uint64_t at_ns);
/* realloc, which does not fail. */
void *memory_get(const struct world *world, void *old, size_t bytes);
uint64_t world_random(struct world *world);

/* ---- world_pages.c: where pages are, for the engine ---- */

extern const struct coherence_operations world_operations;
/* Where the page of a copy of the trace is, and the node of its actor. */
uint64_t page_of(const struct world *world, uint16_t copy, uint32_t page);
unsigned node_of(const struct world *world, uint16_t copy, uint8_t actor);
const struct trace_step *step_of(const struct world *world, struct access access);

#endif
