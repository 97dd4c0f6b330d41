/*
 * The graph: what a command waits for when it is enqueued, and what follows when it has executed
 * and when it retires. Not for who runs commands (executor.c), and not for conflicts in memory
 * (interval.c).
 *
 * Strong edges (explicit waits, barriers) count down when their source retires, the others when it
 * executes.
 */
#include "coproc/engine_parts.h"

static struct edge *edge_new(struct coproc_engine *engine)
{
    if (!engine->free_edges) {
        struct edge *edges = engine_memory(engine, SLAB_COMMANDS * sizeof *edges);
        for (unsigned i = 0; i < SLAB_COMMANDS; i++) {
            edges[i].next = engine->free_edges;
            engine->free_edges = &edges[i];
        }
    }
    struct edge *edge = engine->free_edges;
    engine->free_edges = edge->next;
    return edge;
}

static void predecessor_add(struct coproc_command *command, struct coproc_command *from, bool strong)
{
    if (command->wait_count == command->wait_capacity) {
        unsigned capacity = 2 * command->wait_capacity;
        struct predecessor *waits = malloc(capacity * sizeof *waits);
        COPROC_ASSERT(waits);
        for (unsigned i = 0; i < command->wait_count; i++)
            waits[i] = command->waits[i];
        if (command->waits != command->inline_waits)
            free(command->waits);
        command->waits = waits;
        command->wait_capacity = capacity;
    }
    command->waits[command->wait_count++] = (struct predecessor){handle_of(from), strong};
}

void graph_edge(struct coproc_command *from, struct coproc_command *to, bool strong, const char *kind)
{
    struct coproc_engine *engine = from->engine;
    COPROC_ASSERT(from != to);
    if (strong ? from->retired : from->executed)
        return;
    /* The same edge again, from another interval: the newest of the source is this one. */
    struct edge *newest = from->successors;
    if (newest && newest->to.command == to && newest->to.sequence == to->sequence && newest->strong == strong)
        return;
    struct edge *edge = edge_new(engine);
    *edge = (struct edge){handle_of(to), strong, from->successors};
    from->successors = edge;
    to->blockers++;
    engine->counts.edges++;
    predecessor_add(to, from, strong);
    if (!strong && from->submitted && from->lane != NO_LANE)
        executor_chain(to, from);
    if (engine->trace)
        trace_edge(engine, from, to, kind);
}

bool graph_ordered(const struct coproc_command *from, const struct coproc_command *to)
{
    if (from->queue == to->queue && from->queue->in_order)
        return true;
    return from->covered && !(from->engine->settings.faults & COPROC_FAULT_NO_COVER);
}

/* ---- insertion
 * ------------------------------------------------------------------------------------------------------------------
 */

/* What a command waited for explicitly comes before all that follows in its in-order queue. */
static void sticky_add(struct coproc_queue *queue, struct coproc_command *command)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < queue->sticky_count; i++) {
        struct coproc_command *other = queue->sticky[i].command;
        if (!handle_live(queue->sticky[i]) || other == command)
            continue;
        /* Of an in-order queue the newest stands for all. */
        if (command->queue && other->queue == command->queue && command->queue->in_order) {
            if (other->sequence > command->sequence)
                command = other;
            continue;
        }
        queue->sticky[kept++] = queue->sticky[i];
    }
    queue->sticky_count = kept;
    COPROC_ASSERT(kept < QUEUE_STICKY);
    queue->sticky[queue->sticky_count++] = handle_of(command);
}

/* The explicit waits were noted by coproc_command_wait; here they become edges, `noted` of which
 * remain. */
static unsigned explicit_insert(struct coproc_command *command, struct predecessor *noted)
{
    unsigned count = command->wait_count, kept = 0;
    for (unsigned i = 0; i < count; i++)
        noted[i] = command->waits[i];
    command->wait_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct coproc_command *from = noted[i].from.command;
        if (handle_live(noted[i].from)) {
            graph_edge(from, command, true, "wait");
            noted[kept++] = noted[i];
        } else if (from->sequence == noted[i].from.sequence && from->status < 0) {
            command->wait_failed = true;
        }
    }
    return kept;
}

static void sticky_insert(struct coproc_command *command)
{
    struct coproc_queue *queue = command->queue;
    for (unsigned i = 0; i < queue->sticky_count;) {
        if (handle_live(queue->sticky[i])) {
            graph_edge(queue->sticky[i].command, command, true, "barrier");
            i++;
        } else {
            queue->sticky[i] = queue->sticky[--queue->sticky_count];
        }
    }
}

static void waits_insert(struct coproc_command *command)
{
    struct coproc_queue *queue = command->queue;
    struct predecessor few[INLINE_WAITS], *noted = few;
    if (command->wait_count > INLINE_WAITS) {
        noted = malloc(command->wait_count * sizeof *noted);
        COPROC_ASSERT(noted);
    }
    unsigned count = explicit_insert(command, noted), foreign = 0;
    sticky_insert(command);
    for (unsigned i = 0; i < count; i++)
        foreign += noted[i].from.command->queue != queue;
    if (queue->in_order && foreign && !(command->engine->settings.faults & COPROC_FAULT_NO_STICKY)) {
        if (queue->sticky_count + foreign >= QUEUE_STICKY) {
            /* Too many to remember one by one: the command stands for them, as a barrier does. */
            queue->sticky_count = 0;
            sticky_add(queue, command);
        } else {
            for (unsigned i = 0; i < count; i++)
                if (noted[i].from.command->queue != queue)
                    sticky_add(queue, noted[i].from.command);
        }
    }
    if (noted != few)
        free(noted);
}

/* Markers and barriers of an out-of-order queue; in order they are where they are. */
static void marker_insert(struct coproc_command *command, bool explicit_waits)
{
    struct coproc_queue *queue = command->queue;
    if (queue->in_order)
        return;
    if (!explicit_waits)
        for (struct coproc_command *from = queue->commands.first; from; from = from->in_queue.next)
            graph_edge(from, command, true, "barrier");
    if (command->flags & COPROC_BARRIER)
        sticky_add(queue, command);
}

static void conflicts_insert(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    if (command->flags & COPROC_UNKNOWN) {
        bool all_before = true;
        for (struct coproc_command *from = engine->live.last; from; from = from->in_live.previous) {
            if (from->executed)
                continue;
            bool ordered = from->queue && graph_ordered(from, command);
            all_before &= ordered || !from->queue;
            if (ordered)
                graph_edge(from, command, false, "unknown");
            if (ordered && from->cut_unknown)
                break;
        }
        command->cut_unknown = all_before;
    } else if (!(command->flags & COPROC_LOCAL)) {
        for (struct coproc_command *from = engine->unknown.last; from; from = from->in_unknown.previous) {
            if (!graph_ordered(from, command))
                continue;
            graph_edge(from, command, false, "unknown");
            if (from->cut_unknown)
                break;
        }
    }
    for (unsigned i = 0; i < command->access_count; i++)
        if (command->accesses[i].start < command->accesses[i].end)
            interval_insert(command, &command->accesses[i]);
}

void graph_insert(struct coproc_command *command)
{
    struct coproc_queue *queue = command->queue;
    bool explicit_waits = command->wait_count > 0;
    if (!(command->flags & COPROC_LOCAL) && (queue->ordered || command->engine->settings.mode == COPROC_STRICT))
        command->flags |= COPROC_UNKNOWN;
    waits_insert(command);
    if (command->flags & (COPROC_MARKER | COPROC_BARRIER))
        marker_insert(command, explicit_waits);
    conflicts_insert(command);
}

/* ---- execution and retirement
 * ----------------------------------------------------------------------------------------------------
 */

static void execute_later(struct coproc_command *command, int status)
{
    struct coproc_engine *engine = command->engine;
    COPROC_ASSERT(!command->executed);
    command->executed = true;
    command->status = status;
    command->walk_next = NULL;
    *engine->executed_end = command;
    engine->executed_end = &command->walk_next;
}

void graph_ready(struct coproc_command *command)
{
    COPROC_ASSERT(command->blockers == 0 && !command->submitted);
    if (command->wait_failed && !(command->flags & COPROC_INLINE))
        execute_later(command, COPROC_STATUS_WAIT);
    else if (command->flags & COPROC_LOCAL)
        execute_later(command, 0);
    else if (command->flags & COPROC_INLINE)
        executor_place(command, PLACE_INLINE);
    else
        executor_place(command, command->urgent ? PLACE_URGENT : PLACE_READY);
}

/* Counts down the edges of the kind; of strong ones a failure is passed on. */
static void successors_release(struct coproc_command *command, bool strong)
{
    struct coproc_engine *engine = command->engine;
    struct edge **next = &command->successors;
    while (*next) {
        struct edge *edge = *next;
        if (edge->strong != strong) {
            next = &edge->next;
            continue;
        }
        *next = edge->next;
        struct coproc_command *to = edge->to.command;
        bool pending = handle_pending(edge->to);
        edge->next = engine->free_edges;
        engine->free_edges = edge;
        if (!pending)
            continue; /* chained, and reported before this one */
        COPROC_ASSERT(to->blockers > 0);
        to->blockers--;
        if (!strong && command->submitted && command->lane != NO_LANE) {
            COPROC_ASSERT(to->chain_blockers > 0);
            to->chain_blockers--;
        }
        if (strong && command->status < 0)
            to->wait_failed = true;
        if (to->submitted)
            continue;
        if (to->blockers == 0)
            graph_ready(to);
        else
            executor_chain_check(to);
    }
}

static void retire(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    struct coproc_queue *queue = command->queue;
    COPROC_ASSERT(command->executed && !command->retired);
    command->retired = true;
    engine->counts.retired++;
    list_remove(&engine->live, command, offsetof(struct coproc_command, in_live));
    engine->live_count--;
    if (engine->trace)
        trace_command(engine, command);
    if (queue) {
        list_remove(&queue->commands, command, offsetof(struct coproc_command, in_queue));
        queue->live--;
        queue->device->live--;
        if (command->status < 0 && !queue->deferred_status)
            queue->deferred_status = command->status;
    }
    successors_release(command, true);
    COPROC_ASSERT(!command->successors);
    if (engine->waiters)
        engine->ring_progress = true;
    if (command->flags & COPROC_NOTIFY) {
        coproc_command_ref(command);
        command->walk_next = NULL;
        *engine->notices_end = command;
        engine->notices_end = &command->walk_next;
    }
}

static void executed_settle(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    struct coproc_queue *queue = command->queue;
    if (command->flags & COPROC_UNKNOWN)
        list_remove(&engine->unknown, command, offsetof(struct coproc_command, in_unknown));
    successors_release(command, false);
    command->settled = true;
    if (engine->waiters)
        engine->ring_progress = true;
    if (!queue) {
        retire(command);
        command_unref_locked(command);
        return;
    }
    struct coproc_device *device = queue->device;
    if (!(command->flags & (COPROC_LOCAL | COPROC_INLINE))) {
        COPROC_ASSERT(device->pending > 0);
        device->pending--;
    }
    if (device->window_waiters)
        executor_room(device);
    if (!queue->in_order) {
        retire(command);
        command_unref_locked(command);
    } else {
        while (queue->commands.first && queue->commands.first->settled) {
            struct coproc_command *first = queue->commands.first;
            retire(first);
            command_unref_locked(first);
        }
    }
    if (queue->freed && !queue->live)
        free(queue);
}

void graph_settle(struct coproc_engine *engine)
{
    while (engine->executed) {
        struct coproc_command *next = engine->executed;
        engine->executed = next->walk_next;
        if (!engine->executed)
            engine->executed_end = &engine->executed;
        executed_settle(next);
    }
}

void graph_execute(struct coproc_command *command, int status)
{
    execute_later(command, status);
    graph_settle(command->engine);
}
