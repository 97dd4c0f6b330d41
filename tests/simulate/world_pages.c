/*
 * The pages of a world as the engine of each node has them: who reads and writes what, and the operations that the
 * engine asks for. Not for when they are asked for.
 */
#include "tests/simulate/world_private.h"

#include <string.h>

/* ---- who is where ---------------------------------------------------------------------------- */

uint64_t page_of(const struct world *world, uint16_t copy, uint32_t page)
{
    bool shared = page < world->trace->page_count && trace_page_shared(&world->trace->pages[page]);
    return PAGE_BASE + (shared ? 0 : (uint64_t)copy * (world->trace->page_count + 1)) + page;
}

/* The node that runs an actor of a copy; NODES_MAX: none does, the last copy is not whole. */
unsigned node_of(const struct world *world, uint16_t copy, uint8_t actor)
{
    unsigned peers = world->node_count - 1, slot = copy * world->peer_actors + actor - 1;
    if (actor == HOME_NODE)
        return HOME_NODE;
    if (peers < world->peer_actors)
        return 1 + (actor - 1u) % peers;
    return slot < peers ? 1 + slot : NODES_MAX;
}

const struct trace_step *step_of(const struct world *world, struct access access)
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

/* No trace has another process in it. */
static int operation_seal(void *context, uint64_t page)
{
    (void)context;
    (void)page;
    return 0;
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

const struct coherence_operations world_operations = {
    .send = operation_send,
    .protect = operation_protect,
    .unprotect = operation_unprotect,
    .install = operation_install,
    .wake = operation_wake,
    .read = operation_read,
    .discard = operation_discard,
    .take = operation_take,
    .seal = operation_seal,
    .now_ns = operation_now_ns,
    .range = operation_range,
    .done = operation_done,
};
