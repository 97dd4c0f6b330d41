/*
 * Interval maps: which live commands access which bytes of a memory object, and the edges that
 * follow. Not for order that does not come from memory (graph.c).
 *
 * A segment lists its accesses, newest first. Unlike a plain "last writer, readers since", older
 * ones stay in the list while they are live: two queues need not be ordered with each other, so a
 * command may be ordered after an older writer only. The walk stops at an access that all older
 * ones come before (`cut`).
 */
#include <string.h>

#include "coproc/engine_parts.h"

#define NODES_SWEEP 96u /* longer lists are searched for dead accesses */

static void node_free(struct coproc_engine *engine, struct access_node *node)
{
    node->next = engine->free_nodes;
    engine->free_nodes = node;
}

static struct access_node *node_new(struct coproc_engine *engine)
{
    if (!engine->free_nodes) {
        struct access_node *nodes = engine_memory(engine, SLAB_COMMANDS * sizeof *nodes);
        for (unsigned i = 0; i < SLAB_COMMANDS; i++)
            node_free(engine, &nodes[i]);
    }
    struct access_node *node = engine->free_nodes;
    engine->free_nodes = node->next;
    return node;
}

static void segment_sweep(struct coproc_engine *engine, struct segment *segment)
{
    struct access_node **next = &segment->nodes;
    while (*next) {
        struct access_node *node = *next;
        if (handle_pending(node->by)) {
            next = &node->next;
            continue;
        }
        *next = node->next;
        node_free(engine, node);
        segment->count--;
    }
}

/* Segments without a live access go. */
static void memory_sweep(struct coproc_memory *memory)
{
    size_t kept = 0;
    for (size_t i = 0; i < memory->count; i++) {
        segment_sweep(memory->engine, &memory->segments[i]);
        if (memory->segments[i].nodes)
            memory->segments[kept++] = memory->segments[i];
    }
    memory->engine->counts.intervals -= memory->count - kept;
    memory->count = kept;
    memory->sweep_at = 2 * kept + 32;
}

static struct segment *segment_insert(struct coproc_memory *memory, size_t at, uint64_t start, uint64_t end)
{
    if (memory->count == memory->capacity) {
        size_t capacity = memory->capacity ? 2 * memory->capacity : 4;
        struct segment *segments = realloc(memory->segments, capacity * sizeof *segments);
        COPROC_ASSERT(segments);
        memory->segments = segments;
        memory->capacity = capacity;
    }
    struct segment *segment = &memory->segments[at];
    memmove(segment + 1, segment, (memory->count - at) * sizeof *segment);
    memory->count++;
    memory->engine->counts.intervals++;
    *segment = (struct segment){.start = start, .end = end};
    return segment;
}

/* Cuts segment `at` at `offset`, which is inside it. */
static void segment_split(struct coproc_memory *memory, size_t at, uint64_t offset)
{
    segment_sweep(memory->engine, &memory->segments[at]);
    uint64_t end = memory->segments[at].end;
    struct segment *right = segment_insert(memory, at + 1, offset, end);
    struct segment *left = &memory->segments[at];
    COPROC_ASSERT(left->start < offset && offset < end);
    left->end = offset;
    struct access_node **last = &right->nodes;
    for (const struct access_node *node = left->nodes; node; node = node->next) {
        struct access_node *copy = node_new(memory->engine);
        *copy = *node;
        copy->next = NULL;
        *last = copy;
        last = &copy->next;
        right->count++;
    }
}

/* Whether the two accesses conflict, and how. */
static const char *conflict(const struct coproc_engine *engine, unsigned before, unsigned after)
{
    unsigned faults = engine->settings.faults;
    if ((before & COPROC_WRITE) && (after & COPROC_READ) && !(faults & COPROC_FAULT_NO_RAW))
        return "RAW";
    if ((before & COPROC_WRITE) && (after & COPROC_WRITE) && !(faults & COPROC_FAULT_NO_WAW))
        return "WAW";
    if ((before & COPROC_READ) && (after & COPROC_WRITE) && !(faults & COPROC_FAULT_NO_WAR))
        return "WAR";
    return NULL;
}

static void segment_access(struct segment *segment, struct coproc_command *command, unsigned access)
{
    struct coproc_engine *engine = command->engine;
    struct access_node **next = &segment->nodes;
    bool all_before = true;
    while (*next) {
        struct access_node *node = *next;
        struct coproc_command *earlier = node->by.command;
        if (!handle_pending(node->by)) {
            /* Its place in the list is taken by what it was cut from: all dead as well, or ordered.
             */
            *next = node->next;
            node_free(engine, node);
            segment->count--;
            continue;
        }
        if (earlier == command) {
            access |= node->access; /* the same bytes twice: one access of both kinds */
            *next = node->next;
            node_free(engine, node);
            segment->count--;
            continue;
        }
        bool ordered = graph_ordered(earlier, command);
        const char *kind = conflict(engine, node->access, access);
        if (ordered && kind)
            graph_edge(earlier, command, false, kind);
        else
            all_before = false;
        if (ordered && kind && node->cut)
            break;
        next = &node->next;
    }
    struct access_node *node = node_new(engine);
    *node = (struct access_node){handle_of(command), access, all_before, segment->nodes};
    segment->nodes = node;
    if (++segment->count > NODES_SWEEP)
        segment_sweep(engine, segment);
}

void interval_insert(struct coproc_command *command, const struct access_request *request)
{
    struct coproc_memory *memory = request->memory;
    uint64_t at = request->start, end = request->end;
    if (memory->count > memory->sweep_at)
        memory_sweep(memory);
    size_t low = 0, high = memory->count;
    while (low < high) { /* the first segment that ends after `at` */
        size_t middle = (low + high) / 2;
        if (memory->segments[middle].end <= at)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; at < end; i++) {
        if (i == memory->count || memory->segments[i].start >= end) {
            segment_insert(memory, i, at, end);
        } else if (memory->segments[i].start > at) {
            segment_insert(memory, i, at, memory->segments[i].start);
        } else {
            if (memory->segments[i].start < at)
                segment_split(memory, i++, at);
            if (memory->segments[i].end > end)
                segment_split(memory, i, end);
        }
        segment_access(&memory->segments[i], command, request->access);
        at = memory->segments[i].end;
    }
}

struct coproc_memory *coproc_memory_new(struct coproc_engine *engine, uint64_t size)
{
    struct coproc_memory *memory = calloc(1, sizeof *memory);
    if (memory)
        *memory = (struct coproc_memory){.engine = engine, .size = size, .sweep_at = 32};
    return memory;
}

void coproc_memory_free(struct coproc_memory *memory)
{
    if (!memory)
        return;
    struct coproc_engine *engine = memory->engine;
    engine_enter(engine);
    for (size_t i = 0; i < memory->count; i++) {
        while (memory->segments[i].nodes) {
            struct access_node *node = memory->segments[i].nodes;
            memory->segments[i].nodes = node->next;
            node_free(engine, node);
        }
    }
    engine->counts.intervals -= memory->count;
    engine_leave(engine);
    free(memory->segments);
    free(memory);
}
