/*
 * Replaying a trace. Not for what a node does with a message: that is the engine's, as it is.
 *
 * A node's loop takes everything that has arrived, in order, one thing after the other, and what it has to send leaves
 * at the end of that turn, as runtime/pager.c has it. Pages have no bytes, only whether anything was ever written to
 * them.
 */
#include "tests/simulate/world_private.h"

#include <stdlib.h>
#include <string.h>

#define TURN_MOST     64u /* things that a loop takes in one turn */
#define SPREAD_NS     20000000u
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
        node->coherence = coherence_create(i, &world_operations, node, world->model.hold_ns);
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
