/*
 * What happens when: the events of a world in order of time, what arrives at a node, and how busy what is. Not for what
 * happens then.
 */
#include "tests/simulate/world_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_NS 10000000u

_Noreturn void world_fail(const struct world *world, const char *what)
{
    fprintf(stderr, "simulate: at %" PRIu64 " ns with %u nodes: %s\n", world->now_ns, world->node_count, what);
    abort();
}

void *memory_get(const struct world *world, void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    WORLD_ASSERT(world, memory != NULL);
    return memory;
}

uint64_t world_random(struct world *world)
{
    uint64_t z = (world->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool event_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void event_add(struct world *world, struct event event)
{
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity != 0 ? 2 * world->heap_capacity : 1024;
        world->heap = memory_get(world, world->heap, world->heap_capacity * sizeof *world->heap);
    }
    event.order = world->order++;
    size_t at = world->heap_count++;
    for (; at > 0 && event_before(&event, &world->heap[(at - 1) / 2]); at = (at - 1) / 2)
        world->heap[at] = world->heap[(at - 1) / 2];
    world->heap[at] = event;
}

struct event event_take(struct world *world)
{
    WORLD_ASSERT(world, world->heap_count != 0);
    struct event first = world->heap[0], last = world->heap[--world->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->heap_count)
            break;
        if (child + 1 < world->heap_count && event_before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (event_before(&last, &world->heap[child]))
            break;
        world->heap[at] = world->heap[child];
        at = child;
    }
    world->heap[at] = last;
    return first;
}

void turn_want(struct world *world, struct node *node)
{
    if (node->turn_due)
        return;
    node->turn_due = true;
    event_add(world, (struct event){.at_ns = node->free_ns > world->now_ns ? node->free_ns : world->now_ns,
                                    .type = EVENT_TURN,
                                    .node = (uint8_t)node->number});
}

void item_arrive(struct world *world, struct node *node, struct item *item)
{
    item->next = NULL;
    *node->last = item;
    node->last = &item->next;
    turn_want(world, node);
}

/* ---- how busy what is --------------------------------------------------------------------- */

void meter_add(struct world *world, struct meter *meter, uint64_t from_ns, uint64_t to_ns)
{
    meter->busy_ns += to_ns - from_ns;
    while (from_ns < to_ns) {
        size_t window = from_ns / WINDOW_NS;
        uint64_t end_ns = (window + 1) * WINDOW_NS < to_ns ? (window + 1) * WINDOW_NS : to_ns;
        if (window >= meter->count) {
            size_t count = 2 * window + 64;
            meter->windows = memory_get(world, meter->windows, count * sizeof *meter->windows);
            memset(meter->windows + meter->count, 0, (count - meter->count) * sizeof *meter->windows);
            meter->count = count;
        }
        meter->windows[window] += end_ns - from_ns;
        from_ns = end_ns;
    }
}

double meter_full(const struct meter *meter, uint64_t time_ns)
{
    uint64_t windows = (time_ns + WINDOW_NS - 1) / WINDOW_NS, full = 0;
    for (size_t i = 0; i < meter->count && i < windows; i++)
        full += meter->windows[i] >= WINDOW_NS * 9ull / 10;
    return windows != 0 ? (double)full / (double)windows : 0;
}

void wanted_begin(struct world *world, uint64_t page)
{
    struct wanted *wanted = &world->wanted[page - PAGE_BASE];
    if (wanted->waiters++ == 0)
        wanted->since_ns = world->now_ns;
}

void wanted_end(struct world *world, uint64_t page, uint64_t at_ns)
{
    struct wanted *wanted = &world->wanted[page - PAGE_BASE];
    WORLD_ASSERT(world, wanted->waiters != 0);
    if (--wanted->waiters == 0)
        wanted->total_ns += at_ns - wanted->since_ns;
}
