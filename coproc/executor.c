/*
 * Executors: one thread for each coprocessor hands it what is ready, on lanes. Not for deciding
 * what is ready (graph.c).
 *
 * A lane is an in-order queue of the driver. A ready command needs an empty lane. A command that
 * waits only for commands on one lane may follow them there (chain) up to a depth: the driver keeps
 * the order, and nobody has to be woken between the two.
 */
#include "coproc/engine_parts.h"

#define IN_PLACE offsetof(struct coproc_command, in_place)

static void ring_later(struct coproc_device *device)
{
    if (device->ring || device->ring_window)
        return;
    device->ring_next = device->engine->ring_devices;
    device->engine->ring_devices = device;
}

/* A driver with threads of its own needs the processors that polling would take. */
unsigned executor_spin_us(const struct coproc_device *device)
{
    return device && device->runs_inside ? device->engine->settings.spin_us : 0;
}

void executor_kick(struct coproc_device *device)
{
    ring_later(device);
    device->ring = true;
}

bool executor_progresses(const struct coproc_device *device)
{
    return device->watched || device->places[PLACE_READY].first || device->places[PLACE_URGENT].first ||
           device->places[PLACE_CHAIN].first;
}

void executor_room(struct coproc_device *device)
{
    if (device->pending > device->engine->settings.window_low && executor_progresses(device))
        return;
    ring_later(device);
    device->ring_window = true;
}

void executor_place(struct coproc_command *command, enum place place)
{
    struct coproc_device *device = command->queue->device;
    if (command->place == place)
        return;
    if (command->place != PLACE_NONE)
        list_remove(&device->places[command->place], command, IN_PLACE);
    command->place = place;
    if (place == PLACE_NONE)
        return;
    list_append(&device->places[place], command, IN_PLACE);
    if (!device->pumping)
        executor_kick(device);
    if (place == PLACE_URGENT && device->engine->waiters)
        device->engine->ring_progress = true;
}

void executor_chain_check(struct coproc_command *command)
{
    if (!command->enqueued || command->submitted || !command->blockers || command->chain_blockers != command->blockers)
        return;
    if (command->chain_lane == NO_LANE || command->wait_failed || (command->flags & (COPROC_LOCAL | COPROC_INLINE)))
        return;
    if (command->queue->device->driver.chain_depth > 1)
        executor_place(command, PLACE_CHAIN);
}

void executor_chain(struct coproc_command *command, const struct coproc_command *from)
{
    /* Lanes of another coprocessor order nothing here. */
    bool ours = command->queue->device == from->queue->device;
    if (command->chain_blockers++ == 0)
        command->chain_lane = ours ? from->lane : NO_LANE;
    else if (!ours || command->chain_lane != from->lane)
        command->chain_lane = NO_LANE;
    executor_chain_check(command);
}

void executor_urge(struct coproc_command *command)
{
    command->urgent = true;
    if (command->place == PLACE_READY)
        executor_place(command, PLACE_URGENT);
}

static struct coproc_command *chain_pick(struct coproc_device *device, bool urgent_only, unsigned *lane)
{
    for (struct coproc_command *command = device->places[PLACE_CHAIN].first; command;
         command = command->in_place.next) {
        if (urgent_only && !command->urgent)
            continue;
        if (device->lanes[command->chain_lane].depth < device->driver.chain_depth) {
            *lane = command->chain_lane;
            return command;
        }
    }
    return NULL;
}

static struct coproc_command *pick(struct coproc_device *device, bool urgent_only, unsigned *lane)
{
    *lane = NO_LANE;
    if (device->places[PLACE_INLINE].first)
        return device->places[PLACE_INLINE].first;
    struct coproc_command *chained = chain_pick(device, urgent_only, lane);
    if (chained) {
        device->engine->counts.chained++;
        return chained;
    }
    struct coproc_command *ready = device->places[PLACE_URGENT].first;
    if (!ready && !urgent_only)
        ready = device->places[PLACE_READY].first;
    if (!ready)
        return NULL;
    for (unsigned i = 0; i < device->driver.lanes; i++) {
        if (device->lanes[i].depth == 0) {
            *lane = i;
            return ready;
        }
    }
    return NULL;
}

static void submit(struct coproc_device *device, struct coproc_command *command, unsigned lane)
{
    struct coproc_engine *engine = device->engine;
    COPROC_ASSERT(!command->submitted && !command->executed);
    executor_place(command, PLACE_NONE);
    command->submitted = true;
    command->lane = lane;
    if (lane != NO_LANE) {
        device->lanes[lane].depth++;
        device->watched++;
        for (struct edge *edge = command->successors; edge; edge = edge->next)
            if (!edge->strong && handle_pending(edge->to))
                executor_chain(edge->to.command, command);
    }
    if (engine->trace)
        command->submitted_ns = engine_now_ns();
    coproc_command_ref(command);
    device->submitting = command;
    device->submitter = pthread_self();
    engine_leave(engine);
    int status = device->driver.submit(device->driver.context, command, lane);
    if (status < 0)
        coproc_command_done(command, status);
    engine_enter(engine);
    device->submitting = NULL;
    command_unref_locked(command);
}

void executor_pump(struct coproc_device *device, bool urgent_only)
{
    struct coproc_engine *engine = device->engine;
    if (device->pumping)
        return;
    device->pumping = true;
    unsigned lane;
    for (struct coproc_command *command; (command = pick(device, urgent_only, &lane));) {
        submit(device, command, lane);
        if (engine->waiters)
            engine->ring_progress = true; /* coproc_wait_submitted */
    }
    device->pumping = false;
    /* What a helper has left is the executor's. */
    if (urgent_only && (device->places[PLACE_READY].first || device->places[PLACE_CHAIN].first))
        executor_kick(device);
}

void *executor_run(void *argument)
{
    struct coproc_device *device = argument;
    struct coproc_engine *engine = device->engine;
    pthread_setname_np(pthread_self(), "span-coproc");
    engine_enter(engine);
    while (!device->stop) {
        uint32_t seen = device->bell.word;
        executor_pump(device, false);
        unsigned spin_us = executor_spin_us(device);
        engine_leave(engine);
        bell_wait(&device->bell, seen, spin_us);
        engine_enter(engine);
    }
    engine_leave(engine);
    return NULL;
}

void coproc_command_done(struct coproc_command *command, int status)
{
    struct coproc_engine *engine = command->engine;
    engine_enter(engine);
    if (engine->forked) {
        pthread_mutex_unlock(&engine->lock);
        return;
    }
    COPROC_ASSERT(command->submitted || (command->flags & COPROC_GATE));
    if (engine->trace && !command->end_ns) {
        command->end_ns = engine_now_ns();
        command->start_ns = command->submitted_ns ? command->submitted_ns : command->end_ns;
    }
    if (command->lane != NO_LANE) {
        struct coproc_device *device = command->queue->device;
        COPROC_ASSERT(device->lanes[command->lane].depth > 0 && device->watched > 0);
        device->lanes[command->lane].depth--;
        device->watched--;
        device->runs_inside = device->submitting == command && pthread_equal(device->submitter, pthread_self());
        if (!device->pumping && (device->places[PLACE_READY].first || device->places[PLACE_URGENT].first ||
                                 device->places[PLACE_CHAIN].first))
            executor_kick(device);
    }
    graph_execute(command, status);
    engine_leave(engine);
}
