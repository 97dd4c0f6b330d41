/*
 * Commands: from their making to their reuse, and what the API may see of them. Not for their order
 * (graph.c).
 */
#include <string.h>

#include "coproc/engine_parts.h"

_Thread_local unsigned callback_depth;

void coproc_callback_enter(void)
{
    callback_depth++;
}

void coproc_callback_leave(void)
{
    COPROC_ASSERT(callback_depth > 0);
    callback_depth--;
}

static struct coproc_command *command_take(struct coproc_engine *engine)
{
    if (!engine->free_commands) {
        struct coproc_command *commands = engine_memory(engine, SLAB_COMMANDS * sizeof *commands);
        for (unsigned i = 0; i < SLAB_COMMANDS; i++) {
            commands[i].walk_next = engine->free_commands;
            engine->free_commands = &commands[i];
        }
        engine->counts.commands_held += SLAB_COMMANDS;
    }
    struct coproc_command *command = engine->free_commands;
    engine->free_commands = command->walk_next;
    COPROC_ASSERT(command->sequence == 0);
    return command;
}

void command_recycle(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    COPROC_ASSERT(command->refs == 0 && (!command->enqueued || command->retired) && !command->successors);
    if (command->waits != command->inline_waits)
        free(command->waits);
    if (command->accesses != command->inline_accesses)
        free(command->accesses);
    command->sequence = 0;
    command->walk_next = engine->free_commands;
    engine->free_commands = command;
}

struct coproc_command *coproc_command_new(struct coproc_engine *engine, struct coproc_queue *queue, unsigned flags,
                                          const char *name)
{
    COPROC_ASSERT(queue || (flags & COPROC_GATE));
    engine_enter(engine);
    struct coproc_command *command = command_take(engine);
    memset(command, 0, offsetof(struct coproc_command, inline_waits));
    command->engine = engine;
    command->queue = queue;
    command->driver = queue ? &queue->device->driver : engine->settings.gates;
    command->name = name;
    command->flags = flags;
    command->sequence = ++engine->sequence;
    command->refs = 1;
    command->lane = command->chain_lane = NO_LANE;
    command->waits = command->inline_waits;
    command->wait_capacity = INLINE_WAITS;
    command->accesses = command->inline_accesses;
    command->access_capacity = INLINE_ACCESSES;
    command->submitted_ns = command->start_ns = command->end_ns = 0;
    if (engine->trace)
        command->called_ns = engine_now_ns();
    if (flags & COPROC_GATE) {
        command->enqueued = true;
        command->refs = 2;
        list_append(&engine->live, command, offsetof(struct coproc_command, in_live));
        engine->live_count++;
    }
    engine_leave(engine);
    memset(command->payload, 0, sizeof command->payload);
    return command;
}

void command_unref_locked(struct coproc_command *command)
{
    COPROC_ASSERT(command->refs > 0);
    if (--command->refs == 0) {
        command->walk_next = command->engine->dead;
        command->engine->dead = command;
    }
}

void coproc_command_ref(struct coproc_command *command)
{
    atomic_fetch_add_explicit(&command->refs, 1, memory_order_relaxed);
}

void coproc_command_unref(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    /* Only the last one needs the lock. */
    unsigned refs = atomic_load_explicit(&command->refs, memory_order_relaxed);
    while (refs > 1)
        if (atomic_compare_exchange_weak(&command->refs, &refs, refs - 1))
            return;
    engine_enter(engine);
    command_unref_locked(command);
    engine_leave(engine);
}

void *coproc_command_payload(struct coproc_command *command)
{
    return command->payload;
}

struct coproc_queue *coproc_command_queue(const struct coproc_command *command)
{
    return command->queue;
}

void coproc_command_access(struct coproc_command *command, struct coproc_memory *memory, uint64_t offset,
                           uint64_t length, unsigned access)
{
    COPROC_ASSERT(!command->enqueued && access && !(access & ~(unsigned)(COPROC_READ | COPROC_WRITE)));
    if (command->access_count == command->access_capacity) {
        unsigned capacity = 2 * command->access_capacity;
        struct access_request *accesses = malloc(capacity * sizeof *accesses);
        COPROC_ASSERT(accesses);
        memcpy(accesses, command->accesses, command->access_count * sizeof *accesses);
        if (command->accesses != command->inline_accesses)
            free(command->accesses);
        command->accesses = accesses;
        command->access_capacity = capacity;
    }
    uint64_t start = offset < memory->size ? offset : memory->size;
    uint64_t end = length < memory->size - start ? start + length : memory->size;
    command->accesses[command->access_count++] = (struct access_request){memory, start, end, access};
}

void coproc_command_wait(struct coproc_command *command, struct coproc_command *other)
{
    COPROC_ASSERT(!command->enqueued && other->enqueued);
    if (command->wait_count == command->wait_capacity) {
        unsigned capacity = 2 * command->wait_capacity;
        struct predecessor *waits = malloc(capacity * sizeof *waits);
        COPROC_ASSERT(waits);
        memcpy(waits, command->waits, command->wait_count * sizeof *waits);
        if (command->waits != command->inline_waits)
            free(command->waits);
        command->waits = waits;
        command->wait_capacity = capacity;
    }
    command->waits[command->wait_count++] = (struct predecessor){handle_of(other), true};
}

static void window_wait(struct coproc_engine *engine, struct coproc_device *device)
{
    unsigned limit = engine->settings.window_high;
    while (device->pending >= limit && executor_progresses(device) && !callback_depth) {
        limit = engine->settings.window_low;
        uint32_t seen = device->window.word;
        device->window_waiters++;
        unsigned spin_us = executor_spin_us(device);
        engine_leave(engine);
        bell_wait(&device->window, seen, spin_us);
        engine_enter(engine);
        device->window_waiters--;
    }
}

void coproc_command_enqueue(struct coproc_command *command)
{
    struct coproc_engine *engine = command->engine;
    struct coproc_device *device = command->queue->device;
    COPROC_ASSERT(!command->enqueued);
    bool passing = command->flags & (COPROC_LOCAL | COPROC_INLINE);
    engine_enter(engine);
    if (!passing)
        window_wait(engine, device);
    /* The order of issue is the order of this lock, not that of coproc_command_new. */
    command->sequence = ++engine->sequence;
    coproc_command_ref(command);
    graph_insert(command);
    command->enqueued = true; /* not before all its edges are there: it could be chained */
    list_append(&engine->live, command, offsetof(struct coproc_command, in_live));
    engine->live_count++;
    list_append(&command->queue->commands, command, offsetof(struct coproc_command, in_queue));
    if (command->flags & COPROC_UNKNOWN)
        list_append(&engine->unknown, command, offsetof(struct coproc_command, in_unknown));
    command->queue->live++;
    device->live++;
    device->pending += !passing;
    engine->counts.enqueued++;
    if (engine->trace)
        command->answered_ns = engine_now_ns();
    if (command->blockers == 0)
        graph_ready(command);
    else
        executor_chain_check(command);
    graph_settle(engine);
    engine_leave(engine);
}

void coproc_command_times(struct coproc_command *command, uint64_t start_ns, uint64_t end_ns)
{
    command->start_ns = start_ns;
    command->end_ns = end_ns;
}

bool coproc_command_show(struct coproc_command *command)
{
    engine_enter(command->engine);
    bool retired = command->retired;
    if (!retired)
        command->flags |= COPROC_HOST_VISIBLE | COPROC_NOTIFY;
    engine_leave(command->engine);
    return !retired;
}

bool coproc_command_wait_failed(struct coproc_command *command)
{
    engine_enter(command->engine);
    bool failed = command->wait_failed;
    engine_leave(command->engine);
    return failed;
}

enum coproc_state coproc_command_state(struct coproc_command *command, int *status)
{
    engine_enter(command->engine);
    enum coproc_state state = command->retired || command->covered ? COPROC_COMPLETE
                              : command->submitted                 ? COPROC_SUBMITTED
                              : command->enqueued                  ? COPROC_QUEUED
                                                                   : COPROC_NEW;
    *status = command->retired ? command->status : 0;
    engine_leave(command->engine);
    return state;
}

bool coproc_command_retired(const struct coproc_command *command)
{
    return atomic_load_explicit(&command->retired, memory_order_acquire);
}
