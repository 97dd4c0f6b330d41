/*
 * Waits of the host. A real one lasts until its commands have retired. One that is answered early
 * waits only for what the host can see of them, and covers the rest: a virtual barrier. Not for
 * waits of commands (graph.c).
 *
 * The closure of a wait is what the API says has happened when it returns: the commands named, all
 * before them in their in-order queues, what those wait for explicitly, and so on. What is covered
 * already has a covered closure.
 */
#include "coproc/engine_parts.h"

struct target {
    struct coproc_command *const *commands; /* or NULL: */
    size_t count;
    struct coproc_queue *queue; /* its commands up to: */
    uint64_t last;
};

struct closure {
    struct coproc_command *first, **end;
    bool gated;
};

static void closure_visit(struct closure *closure, struct coproc_command *command, uint64_t mark)
{
    if (command->retired || command->mark == mark || !command->enqueued)
        return;
    command->mark = mark;
    command->walk_next = NULL;
    *closure->end = command;
    closure->end = &command->walk_next;
}

/* Visits what the list's members are API-ordered after; `covered` ones are the end of the walk
 * unless `whole`. */
static void closure_walk(struct closure *closure, uint64_t mark, bool whole)
{
    for (struct coproc_command *command = closure->first; command; command = command->walk_next) {
        if ((command->flags & COPROC_GATE) && !command->executed)
            closure->gated = true;
        if (command->covered && !whole)
            continue;
        if (command->queue && command->queue->in_order && command->in_queue.previous)
            closure_visit(closure, command->in_queue.previous, mark);
        for (unsigned i = 0; i < command->wait_count; i++)
            if (command->waits[i].strong && handle_live(command->waits[i].from))
                closure_visit(closure, command->waits[i].from.command, mark);
    }
}

static struct coproc_command *target_closure(struct coproc_engine *engine, const struct target *target, bool *gated)
{
    struct closure closure = {.first = NULL, .end = &closure.first};
    uint64_t mark = ++engine->mark;
    for (size_t i = 0; i < target->count; i++)
        closure_visit(&closure, target->commands[i], mark);
    if (target->queue) {
        for (struct coproc_command *command = target->queue->commands.first;
             command && command->sequence <= target->last; command = command->in_queue.next)
            closure_visit(&closure, command, mark);
    }
    closure_walk(&closure, mark, false);
    *gated = closure.gated;
    return closure.first;
}

static void urge_visit(struct closure *list, struct coproc_command *command)
{
    if (command->executed || command->urgent || !command->queue)
        return;
    executor_urge(command);
    command->walk_next = NULL;
    *list->end = command;
    list->end = &command->walk_next;
}

/* The command and all that it waits for go first. */
static void urge(struct coproc_command *command)
{
    struct closure list = {.first = NULL, .end = &list.first};
    urge_visit(&list, command);
    for (struct coproc_command *next = list.first; next; next = next->walk_next)
        for (unsigned i = 0; i < next->wait_count; i++)
            if (handle_pending(next->waits[i].from))
                urge_visit(&list, next->waits[i].from.command);
}

/* Helps the coprocessor of `command`, then waits until something has happened. Unlocks and locks.
 */
static void progress_wait(struct coproc_engine *engine, struct coproc_device *device)
{
    uint32_t seen = engine->progress.word;
    engine->waiters++;
    if (device && device->places[PLACE_URGENT].first)
        executor_pump(device, true);
    unsigned spin_us = executor_spin_us(device);
    engine_leave(engine);
    bell_wait(&engine->progress, seen, spin_us);
    engine_enter(engine);
    engine->waiters--;
}

static bool target_retired(const struct target *target)
{
    for (size_t i = 0; i < target->count; i++)
        if (!target->commands[i]->retired)
            return false;
    if (!target->queue)
        return true;
    const struct coproc_command *first = target->queue->commands.first;
    return !first || first->sequence > target->last;
}

static void wait_real(struct coproc_engine *engine, const struct target *target)
{
    engine->counts.waits_real++;
    while (!target_retired(target)) {
        bool gated;
        struct coproc_device *device = target->queue ? target->queue->device : NULL;
        struct coproc_command *next;
        for (struct coproc_command *command = target_closure(engine, target, &gated); command; command = next) {
            next = command->walk_next;
            if (command->queue && !command->executed)
                device = command->queue->device;
        }
        /* urge uses the same links as the closure, so the members are looked up again. */
        for (size_t i = 0; i < target->count; i++)
            urge(target->commands[i]);
        if (target->queue)
            for (struct coproc_command *command = target->queue->commands.first;
                 command && command->sequence <= target->last; command = command->in_queue.next)
                urge(command);
        progress_wait(engine, device);
    }
}

/* The first member that the host must see finished. */
static struct coproc_command *closure_visible(struct coproc_command *closure)
{
    for (struct coproc_command *command = closure; command; command = command->walk_next)
        if ((command->flags & COPROC_HOST_VISIBLE) && !command->executed)
            return command;
    return NULL;
}

static void wait_early(struct coproc_engine *engine, const struct target *target)
{
    for (;;) {
        bool gated;
        struct coproc_command *closure = target_closure(engine, target, &gated);
        if (gated) {
            wait_real(engine, target);
            return;
        }
        struct coproc_command *visible = closure_visible(closure);
        if (!visible) {
            for (struct coproc_command *command = closure; command; command = command->walk_next)
                command->covered = true;
            engine->counts.waits_early++;
            return;
        }
        urge(visible);
        progress_wait(engine, visible->queue->device);
    }
}

static void target_wait(struct coproc_engine *engine, const struct target *target, enum coproc_wait how)
{
    uint64_t start_ns = engine->trace ? engine_now_ns() : 0;
    bool early = how == COPROC_WAIT_EARLY || (how == COPROC_WAIT_MODE && engine->settings.mode == COPROC_ASIF);
    if (engine->forked)
        return;
    if (early)
        wait_early(engine, target);
    else
        wait_real(engine, target);
    if (engine->trace)
        trace_wait(engine, early ? "wait" : "real wait", start_ns, engine_now_ns());
}

int coproc_wait_commands(struct coproc_command *const *commands, size_t count, enum coproc_wait how)
{
    if (count == 0)
        return 0;
    struct coproc_engine *engine = commands[0]->engine;
    int status = 0;
    engine_enter(engine);
    target_wait(engine, &(struct target){.commands = commands, .count = count}, how);
    for (size_t i = 0; i < count && !status; i++)
        status = commands[i]->retired ? commands[i]->status : 0;
    engine_leave(engine);
    return status;
}

int coproc_wait_queue(struct coproc_queue *queue, enum coproc_wait how)
{
    struct coproc_engine *engine = queue->device->engine;
    int status = 0;
    engine_enter(engine);
    if (queue->live)
        target_wait(engine, &(struct target){.queue = queue, .last = engine->sequence}, how);
    if (!queue->live) {
        status = queue->deferred_status;
        queue->deferred_status = 0;
    }
    engine_leave(engine);
    return status;
}

static bool command_gated(struct coproc_engine *engine, struct coproc_command *command)
{
    struct closure closure = {.first = NULL, .end = &closure.first};
    uint64_t mark = ++engine->mark;
    closure_visit(&closure, command, mark);
    closure_walk(&closure, mark, true);
    return closure.gated;
}

bool coproc_command_gated(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    engine_enter(engine);
    bool gated = command_gated(engine, command);
    engine_leave(engine);
    return gated;
}

bool coproc_wait_submitted(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    bool gated = false;
    engine_enter(engine);
    while (!command->submitted && !command->executed && !engine->forked) {
        gated = command_gated(engine, command);
        if (gated)
            break;
        urge(command);
        progress_wait(engine, command->queue->device);
    }
    engine_leave(engine);
    return !gated;
}

void coproc_drain(struct coproc_engine *engine)
{
    engine_enter(engine);
    uint64_t last = engine->sequence;
    while (!engine->forked) {
        struct coproc_command *command = engine->live.first;
        while (command && command->sequence <= last && command_gated(engine, command))
            command = command->in_live.next;
        if (!command || command->sequence > last)
            break;
        urge(command);
        progress_wait(engine, command->queue->device);
    }
    engine_leave(engine);
}

size_t coproc_queue_last(struct coproc_queue *queue, struct coproc_command **commands, size_t count)
{
    struct coproc_engine *engine = queue->device->engine;
    size_t found = 0;
    engine_enter(engine);
    for (struct coproc_command *command = queue->commands.last; command && found < count;
         command = command->in_queue.previous) {
        coproc_command_ref(command);
        commands[found++] = command;
    }
    engine_leave(engine);
    return found;
}
