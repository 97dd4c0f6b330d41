/*
 * Replaying a trace. Not for what a node does with a message: that is the engine's, as it is.
 *
 * A node's loop takes everything that has arrived, in order, one thing after the other, and what it has to send leaves
 * at the end of that turn, as runtime/pager.c has it. Pages have no bytes, only whether anything was ever written to
 * them.
 */
#include "tests/simulate/world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/coherence.h"

#define PAGE_BASE     ((SPAN_ZONE_START >> PAGE_SHIFT) + 512)
#define TURN_MOST     64u /* things that a loop takes in one turn */
#define SPREAD_NS     20000000u
#define WINDOW_NS     10000000u
#define SEGMENT_BYTES 1448u /* of TCP on Ethernet */
#define HEADER_BYTES  78u   /* of each, preamble and gap included */

const struct world_model world_model_default = {
    .latency_ns = 25000,
    .gbit = 10,
    .compute = 1,
    .fault_ns = 8000,
    .wake_ns = 8000,
    .call_ns = 4000,
    .frame_ns = 1000,
    .page_ns = 2500,
    .protect_ns = 5000,
    .hold_ns = 50000, /* as runtime/pager_api.c has it */
};

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

static _Noreturn void world_fail(const struct world *world, const char *what)
{
    fprintf(stderr, "simulate: at %" PRIu64 " ns with %u nodes: %s\n", world->now_ns, world->node_count, what);
    abort();
}
#define WORLD_ASSERT(world, condition)                                                                                 \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            world_fail(world, #condition);                                                                             \
    } while (0)

static void *memory_get(const struct world *world, void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    WORLD_ASSERT(world, memory != NULL);
    return memory;
}

static uint64_t world_random(struct world *world)
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

static void event_add(struct world *world, struct event event)
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

static struct event event_take(struct world *world)
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

static void turn_want(struct world *world, struct node *node)
{
    if (node->turn_due)
        return;
    node->turn_due = true;
    event_add(world, (struct event){.at_ns = node->free_ns > world->now_ns ? node->free_ns : world->now_ns,
                                    .type = EVENT_TURN,
                                    .node = (uint8_t)node->number});
}

static void item_arrive(struct world *world, struct node *node, struct item *item)
{
    item->next = NULL;
    *node->last = item;
    node->last = &item->next;
    turn_want(world, node);
}

/* ---- how busy what is --------------------------------------------------------------------- */

static void meter_add(struct world *world, struct meter *meter, uint64_t from_ns, uint64_t to_ns)
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

static double meter_full(const struct meter *meter, uint64_t time_ns)
{
    uint64_t windows = (time_ns + WINDOW_NS - 1) / WINDOW_NS, full = 0;
    for (size_t i = 0; i < meter->count && i < windows; i++)
        full += meter->windows[i] >= WINDOW_NS * 9ull / 10;
    return windows != 0 ? (double)full / (double)windows : 0;
}

static void wanted_begin(struct world *world, uint64_t page)
{
    struct wanted *wanted = &world->wanted[page - PAGE_BASE];
    if (wanted->waiters++ == 0)
        wanted->since_ns = world->now_ns;
}

static void wanted_end(struct world *world, uint64_t page, uint64_t at_ns)
{
    struct wanted *wanted = &world->wanted[page - PAGE_BASE];
    WORLD_ASSERT(world, wanted->waiters != 0);
    if (--wanted->waiters == 0)
        wanted->total_ns += at_ns - wanted->since_ns;
}

/* ---- who is where ---------------------------------------------------------------------------- */

static uint64_t page_of(const struct world *world, uint16_t copy, uint32_t page)
{
    bool shared = page < world->trace->page_count && trace_page_shared(&world->trace->pages[page]);
    return PAGE_BASE + (shared ? 0 : (uint64_t)copy * (world->trace->page_count + 1)) + page;
}

/* The node that runs an actor of a copy; NODES_MAX: none does, the last copy is not whole. */
static unsigned node_of(const struct world *world, uint16_t copy, uint8_t actor)
{
    unsigned peers = world->node_count - 1, slot = copy * world->peer_actors + actor - 1;
    if (actor == HOME_NODE)
        return HOME_NODE;
    if (peers < world->peer_actors)
        return 1 + (actor - 1u) % peers;
    return slot < peers ? 1 + slot : NODES_MAX;
}

static const struct trace_step *step_of(const struct world *world, struct access access)
{
    return &world->trace->actors[access.actor].steps[access.step];
}

/* ---- operations of the engine ---------------------------------------------------------------- */

static void page_write(struct world *world, uint64_t page)
{
    WORLD_ASSERT(world, page >= PAGE_BASE && page < PAGE_BASE + world->page_total);
    world->written[page - PAGE_BASE] = true;
}

static int page_zero(const struct world *world, uint64_t page)
{
    WORLD_ASSERT(world, page >= PAGE_BASE && page < PAGE_BASE + world->page_total);
    return world->written[page - PAGE_BASE] ? 0 : 1;
}

static void operation_send(void *context, unsigned to, enum wire_type type, const struct wire_page *message,
                           const void *data)
{
    struct node *node = context;
    struct item *item = memory_get(node->world, NULL, sizeof *item);
    *item = (struct item){.kind = ITEM_MESSAGE,
                          .frame = *message,
                          .type = (uint16_t)type,
                          .from = (uint8_t)node->number,
                          .to = (uint8_t)to,
                          .data = data != NULL};
    *node->staged_last = item;
    node->staged_last = &item->next;
    node->clock_ns += node->world->model.frame_ns;
}

static void operation_wake(void *context, uint64_t page)
{
    struct node *node = context;
    for (struct waiter *waiter = node->waiters; waiter != NULL; waiter = waiter->next)
        if (waiter->page == page && waiter->woken_ns == 0)
            waiter->woken_ns = node->clock_ns;
}

static int operation_protect(void *context, uint64_t page)
{
    struct node *node = context;
    (void)page;
    node->clock_ns += node->world->model.protect_ns;
    return 0;
}

static int operation_unprotect(void *context, uint64_t page)
{
    struct node *node = context;
    node->clock_ns += node->world->model.page_ns;
    page_write(node->world, page);
    operation_wake(context, page);
    return 0;
}

static int operation_install(void *context, uint64_t page, const void *data, bool writable)
{
    struct node *node = context;
    (void)data;
    node->clock_ns += node->world->model.page_ns;
    if (writable)
        page_write(node->world, page);
    operation_wake(context, page);
    return 0;
}

static int operation_read(void *context, uint64_t page, void *data, bool populate)
{
    struct node *node = context;
    (void)data;
    (void)populate;
    node->clock_ns += node->world->model.page_ns;
    return page_zero(node->world, page);
}

/* All pages of a turn are removed together. */
static void operation_discard(void *context, uint64_t page)
{
    struct node *node = context;
    (void)page;
    if (!node->removed)
        node->clock_ns += node->world->model.protect_ns;
    node->removed = true;
}

static int operation_take(void *context, uint64_t page, void *data, bool force)
{
    struct node *node = context;
    (void)data;
    (void)force;
    node->clock_ns += node->world->model.page_ns + node->world->model.protect_ns;
    return page_zero(node->world, page);
}

static uint64_t operation_now_ns(void *context)
{
    return ((struct node *)context)->clock_ns;
}

static void operation_range(void *context, enum wire_type type, const struct wire_range *range)
{
    struct node *node = context;
    (void)range;
    if (type == WIRE_RANGE_DROP)
        node->clock_ns += node->world->model.protect_ns;
}

static void operation_done(void *context, void *job)
{
    (void)context;
    (void)job;
}

static const struct coherence_operations operations = {
    .send = operation_send,
    .protect = operation_protect,
    .unprotect = operation_unprotect,
    .install = operation_install,
    .wake = operation_wake,
    .read = operation_read,
    .discard = operation_discard,
    .take = operation_take,
    .now_ns = operation_now_ns,
    .range = operation_range,
    .done = operation_done,
};

/* ---- accesses -------------------------------------------------------------------------------- */

static void access_begin_list(struct world *world, struct access access, uint32_t first, uint64_t from_ns)
{
    const struct trace_actor *actor = &world->trace->actors[access.actor];
    for (uint32_t step = first; step != TRACE_NONE; step = actor->steps[step].next) {
        access.step = step;
        double think_ns = (double)actor->steps[step].think_ns * world->model.compute;
        event_add(world, (struct event){.at_ns = from_ns + (uint64_t)think_ns,
                                        .type = EVENT_ACCESS,
                                        .node = (uint8_t)node_of(world, access.copy, access.actor),
                                        .access = access});
    }
}

static void access_end(struct world *world, struct access access, uint64_t at_ns)
{
    WORLD_ASSERT(world, world->left != 0);
    world->left--;
    if (at_ns > world->end_ns)
        world->end_ns = at_ns;
    access_begin_list(world, access, step_of(world, access)->first, at_ns);
}

static void latency_add(struct world *world, struct access access, uint64_t latency_ns)
{
    if (trace_page_shared(&world->trace->pages[step_of(world, access)->page])) {
        world->shared_ns += latency_ns;
        world->shared_count++;
    }
    if (world->latency_count == world->latency_capacity) {
        world->latency_capacity = world->latency_capacity != 0 ? 2 * world->latency_capacity : 4096;
        world->latencies = memory_get(world, world->latencies, world->latency_capacity * sizeof *world->latencies);
    }
    world->latencies[world->latency_count++] = latency_ns;
}

static bool access_allowed(const struct node *node, uint64_t page, bool write)
{
    return coherence_state(node->coherence, page, NULL) >= (write ? PAGE_MODIFIED : PAGE_SHARED);
}

static void access_try(struct world *world, const struct event *event)
{
    struct node *node = &world->nodes[event->node];
    const struct trace_step *step = step_of(world, event->access);
    struct item *item;
    if (step->kind != TRACE_ASK) {
        item = memory_get(world, NULL, sizeof *item);
        *item = (struct item){.kind = ITEM_RANGE, .access = event->access};
        item_arrive(world, node, item);
        return;
    }
    uint64_t page = page_of(world, event->access.copy, step->page);
    if (event->since_ns == 0)
        world->result->asks++;
    if (access_allowed(node, page, step->write)) {
        if (event->since_ns != 0)
            latency_add(world, event->access, world->now_ns - event->since_ns);
        access_end(world, event->access, world->now_ns);
        return;
    }
    if (event->since_ns == 0)
        world->result->faults++;
    struct waiter *waiter = memory_get(world, NULL, sizeof *waiter);
    *waiter = (struct waiter){.next = node->waiters,
                              .access = event->access,
                              .page = page,
                              .since_ns = event->since_ns != 0 ? event->since_ns : world->now_ns,
                              .write = step->write};
    node->waiters = waiter;
    wanted_begin(world, page);
    item = memory_get(world, NULL, sizeof *item);
    *item = (struct item){.kind = ITEM_FAULT, .page = page, .write = step->write, .to = (uint8_t)node->number};
    event_add(world, (struct event){.at_ns = world->now_ns + world->model.fault_ns,
                                    .type = EVENT_ARRIVAL,
                                    .node = (uint8_t)node->number,
                                    .item = item});
}

/* Threads that were woken in this turn. Memory that was granted zero and exclusive is about to be written. */
static void waiters_settle(struct world *world, struct node *node)
{
    for (struct waiter **link = &node->waiters; *link != NULL;) {
        struct waiter *waiter = *link;
        if (waiter->woken_ns == 0) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        wanted_end(world, waiter->page, waiter->woken_ns);
        uint64_t runs_ns = waiter->woken_ns + world->model.wake_ns;
        if (access_allowed(node, waiter->page, waiter->write)) {
            if (coherence_state(node->coherence, waiter->page, NULL) == PAGE_EXCLUSIVE)
                coherence_fault(node->coherence, waiter->page, true);
            latency_add(world, waiter->access, runs_ns - waiter->since_ns);
            access_end(world, waiter->access, runs_ns);
        } else {
            event_add(world, (struct event){.at_ns = runs_ns,
                                            .since_ns = waiter->since_ns,
                                            .type = EVENT_ACCESS,
                                            .node = (uint8_t)node->number,
                                            .access = waiter->access});
        }
        free(waiter);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void range_carry_out(struct world *world, struct node *home, struct access access)
{
    const struct trace_step *step = step_of(world, access);
    /* A range of which no page was ever asked for has a page of its own: who is told of it is told. */
    bool empty = step->page == step->end;
    uint64_t base = PAGE_BASE + (uint64_t)access.copy * (world->trace->page_count + 1);
    uint64_t start = base + (empty ? world->trace->page_count : step->page), end = empty ? start + 1 : base + step->end;
    uint64_t nodes = 0;
    for (uint8_t actor = 1; actor <= world->peer_actors; actor++) {
        unsigned node = node_of(world, access.copy, actor);
        if ((step->nodes >> actor & 1) != 0 && node != NODES_MAX)
            nodes |= 1ull << node;
    }
    if (step->kind == TRACE_BRING) {
        coherence_recall(home->coherence, start, end, nodes, world);
    } else {
        for (uint64_t page = start; page < end; page++)
            world->written[page - PAGE_BASE] = false;
        coherence_drop(home->coherence, start, end, nodes, world);
    }
    access_end(world, access, home->clock_ns);
}

static void item_carry_out(struct world *world, struct node *node, const struct item *item)
{
    static uint8_t payload[sizeof(struct wire_page) + PAGE_BYTES];
    int result = 0;
    node->clock_ns += world->model.frame_ns;
    switch ((enum item_type)item->kind) {
    case ITEM_MESSAGE:
        memcpy(payload, &item->frame, sizeof item->frame);
        result = coherence_message(node->coherence, item->from, item->type, payload,
                                   sizeof item->frame + (item->data ? PAGE_BYTES : 0));
        break;
    case ITEM_FAULT:
        coherence_fault(node->coherence, item->page, item->write);
        break;
    case ITEM_RANGE:
        range_carry_out(world, node, item->access);
        break;
    }
    WORLD_ASSERT(world, result == 0);
}

/* When the link, free from `free_ns` on, has carried `bytes` that are there at `at_ns`. */
static uint64_t link_carry(struct world *world, uint64_t *free_ns, struct meter *meter, uint64_t at_ns, uint64_t bytes)
{
    uint64_t on_wire = bytes + (bytes + SEGMENT_BYTES - 1) / SEGMENT_BYTES * HEADER_BYTES;
    uint64_t start_ns = *free_ns > at_ns ? *free_ns : at_ns;
    *free_ns = start_ns + (uint64_t)((double)on_wire * 8 / world->model.gbit);
    meter_add(world, meter, start_ns, *free_ns);
    return *free_ns;
}

/* What the turn has to say leaves, one system call for each node that is told something. */
static void turn_flush(struct world *world, struct node *node)
{
    uint64_t told = 0;
    *node->staged_last = NULL;
    for (const struct item *item = node->staged; item != NULL; item = item->next) {
        if (!(told >> item->to & 1))
            node->clock_ns += world->model.call_ns;
        told |= 1ull << item->to;
    }
    for (struct item *item = node->staged, *next; item != NULL; item = next) {
        next = item->next;
        struct node *to = &world->nodes[item->to];
        uint64_t bytes = sizeof(struct wire_frame) + sizeof item->frame + (item->data ? PAGE_BYTES : 0);
        world->result->messages++;
        world->result->bytes += bytes;
        uint64_t gone_ns = link_carry(world, &node->out_free_ns, &node->out, node->clock_ns, bytes);
        uint64_t first_ns = gone_ns + world->model.latency_ns; /* a switch does not wait for the whole */
        uint64_t last_ns = link_carry(world, &to->in_free_ns, &to->in, first_ns, bytes);
        event_add(world, (struct event){.at_ns = last_ns, .type = EVENT_ARRIVAL, .node = item->to, .item = item});
    }
    node->staged = NULL;
    node->staged_last = &node->staged;
}

static void node_turn(struct world *world, struct node *node)
{
    uint64_t heard = 0;
    node->turn_due = false;
    node->removed = false;
    node->clock_ns = world->now_ns;
    for (unsigned i = 0; i < TURN_MOST && node->first != NULL; i++) {
        struct item *item = node->first;
        node->first = item->next;
        if (node->first == NULL)
            node->last = &node->first;
        unsigned channel = item->kind == ITEM_MESSAGE ? item->from : node->number; /* its own: the userfaultfd */
        if (!(heard >> channel & 1))
            node->clock_ns += world->model.call_ns;
        heard |= 1ull << channel;
        item_carry_out(world, node, item);
        free(item);
    }
    uint64_t due_ns = coherence_tick(node->coherence);
    waiters_settle(world, node);
    turn_flush(world, node);
    meter_add(world, &node->loop, world->now_ns, node->clock_ns);
    node->free_ns = node->clock_ns;
    node->generation++;
    if (due_ns != UINT64_MAX)
        event_add(world, (struct event){.at_ns = node->clock_ns + due_ns,
                                        .type = EVENT_TICK,
                                        .node = (uint8_t)node->number,
                                        .generation = node->generation});
    if (node->first != NULL)
        turn_want(world, node);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void world_start(struct world *world)
{
    const struct trace *trace = world->trace;
    for (unsigned i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        *node = (struct node){.world = world, .number = i};
        node->last = &node->first;
        node->staged_last = &node->staged;
        node->coherence = coherence_create(i, &operations, node, world->model.hold_ns);
        WORLD_ASSERT(world, node->coherence != NULL);
        if (i != 0)
            coherence_node_add(world->nodes[HOME_NODE].coherence, i);
    }
    world->page_total = (uint64_t)world->copies * (trace->page_count + 1);
    world->written = memory_get(world, NULL, world->page_total);
    world->wanted = memory_get(world, NULL, world->page_total * sizeof *world->wanted);
    memset(world->wanted, 0, world->page_total * sizeof *world->wanted);
    for (uint64_t i = 0; i < world->page_total; i++) {
        uint64_t page = i % (trace->page_count + 1);
        world->written[i] = page < trace->page_count && trace->pages[page].data;
    }
    for (uint16_t copy = 0; copy < world->copies; copy++) {
        uint64_t from_ns = 1 + world_random(world) % SPREAD_NS;
        for (uint8_t actor = 0; actor <= world->peer_actors; actor++) {
            if (node_of(world, copy, actor) == NODES_MAX)
                continue;
            world->left += trace->actors[actor].count;
            access_begin_list(world, (struct access){.copy = copy, .actor = actor}, trace->actors[actor].first,
                              from_ns);
        }
    }
}

static int latency_compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void world_judge(struct world *world)
{
    struct world_result *result = world->result;
    const struct node *home = &world->nodes[HOME_NODE];
    uint64_t sum_ns = 0, peer_ns = 0;
    double time_ns = (double)(world->end_ns != 0 ? world->end_ns : 1);
    qsort(world->latencies, world->latency_count, sizeof *world->latencies, latency_compare);
    for (size_t i = 0; i < world->latency_count; i++)
        sum_ns += world->latencies[i];
    if (world->latency_count != 0) {
        result->mean_ns = sum_ns / world->latency_count;
        result->p50_ns = world->latencies[world->latency_count / 2];
        result->p99_ns = world->latencies[world->latency_count * 99 / 100];
    }
    for (unsigned i = 1; i < world->node_count; i++)
        if (world->nodes[i].loop.busy_ns > peer_ns)
            peer_ns = world->nodes[i].loop.busy_ns;
    uint64_t wanted_ns = 0;
    for (uint64_t i = 0; i < world->page_total; i++)
        if (world->wanted[i].total_ns > wanted_ns)
            wanted_ns = world->wanted[i].total_ns;
    result->page_wanted = (double)wanted_ns / time_ns;
    result->copies = world->copies;
    result->time_ns = world->end_ns;
    if (world->shared_count != 0)
        result->shared_ns = world->shared_ns / world->shared_count;
    const struct meter *link = home->out.busy_ns > home->in.busy_ns ? &home->out : &home->in;
    result->home_busy = (double)home->loop.busy_ns / time_ns;
    result->home_full = meter_full(&home->loop, world->end_ns);
    result->link_busy = (double)link->busy_ns / time_ns;
    result->link_full = meter_full(link, world->end_ns);
    result->peer_busy = (double)peer_ns / time_ns;
}

static void world_end(struct world *world)
{
    while (world->heap_count != 0) {
        struct event event = event_take(world);
        if (event.type == EVENT_ARRIVAL)
            free(event.item);
    }
    for (unsigned i = 0; i < world->node_count; i++) {
        coherence_check(world->nodes[i].coherence);
        coherence_destroy(world->nodes[i].coherence);
        free(world->nodes[i].loop.windows);
        free(world->nodes[i].out.windows);
        free(world->nodes[i].in.windows);
        while (world->nodes[i].first != NULL) {
            struct item *item = world->nodes[i].first;
            world->nodes[i].first = item->next;
            free(item);
        }
    }
    free(world->heap);
    free(world->written);
    free(world->wanted);
    free(world->latencies);
}

void world_run(const struct trace *trace, const struct world_model *model, unsigned nodes, struct world_result *result)
{
    static struct world all;
    struct world *world = &all;
    *result = (struct world_result){0};
    *world = (struct world){.trace = trace,
                            .model = *model,
                            .node_count = nodes,
                            .peer_actors = trace->node_count - 1,
                            .result = result,
                            .seed = 1};
    WORLD_ASSERT(world, nodes >= 2 && nodes <= NODES_MAX && world->peer_actors != 0);
    world->copies = (nodes - 1 + world->peer_actors - 1) / world->peer_actors;
    world_start(world);
    while (world->left != 0) {
        struct event event = event_take(world);
        struct node *node = &world->nodes[event.node];
        WORLD_ASSERT(world, event.at_ns >= world->now_ns);
        world->now_ns = event.at_ns;
        switch ((enum event_type)event.type) {
        case EVENT_ACCESS:
            access_try(world, &event);
            break;
        case EVENT_ARRIVAL:
            item_arrive(world, node, event.item);
            break;
        case EVENT_TURN:
            node_turn(world, node);
            break;
        case EVENT_TICK:
            if (event.generation == node->generation)
                turn_want(world, node);
            break;
        }
    }
    world_judge(world);
    world_end(world);
}
