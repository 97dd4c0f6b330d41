/*
 * The engine's life: settings, coprocessors, queues, and what has to be done when its lock is given
 * back. Not for commands.
 */
#include <sched.h>
#include <string.h>

#include "coproc/engine_parts.h"

void coproc_fatal(const char *file, int line, const char *what)
{
    fprintf(stderr,
            "ld-span: coprocessor streams: %s:%d: %s does not hold (please report it; --coproc=off "
            "avoids it)\n",
            file, line, what);
    abort();
}

uint64_t engine_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void *engine_memory(struct coproc_engine *engine, size_t size)
{
    struct slab *slab = aligned_alloc(64, (sizeof *slab + size + 63) / 64 * 64);
    COPROC_ASSERT(slab);
    memset(slab, 0, sizeof *slab + size);
    slab->next = engine->slabs;
    engine->slabs = slab;
    return slab + 1;
}

/* The lock is held for less than it takes to wake a thread: who finds it taken polls first. */
static void lock_init(struct coproc_engine *engine)
{
    pthread_mutexattr_t adaptive;
    pthread_mutexattr_init(&adaptive);
    pthread_mutexattr_settype(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&engine->lock, &adaptive);
    pthread_mutex_init(&engine->stage_lock, &adaptive);
    pthread_mutexattr_destroy(&adaptive);
}

struct coproc_engine *coproc_engine_new(const struct coproc_settings *settings)
{
    struct coproc_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    engine->settings = *settings;
    if (!engine->settings.window_high) {
        engine->settings.window_high = COPROC_WINDOW_HIGH;
        engine->settings.window_low = COPROC_WINDOW_LOW;
    }
    COPROC_ASSERT(engine->settings.window_low <= engine->settings.window_high);
    lock_init(engine);
    engine->executed_end = &engine->executed;
    engine->notices_end = &engine->notices;
    engine->burials_end = &engine->burials;
    if (settings->trace_prefix)
        engine->trace = trace_new();
    return engine;
}

void coproc_engine_free(struct coproc_engine *engine)
{
    coproc_drain(engine);
    while (engine->devices)
        coproc_device_free(engine->devices);
    while (atomic_load_explicit(&engine->ringing, memory_order_acquire))
        sched_yield(); /* a thread of the driver has rung a bell of ours and not returned yet */
    trace_write(engine);
    trace_free(engine->trace);
    while (engine->spare_devices) {
        struct coproc_device *next = engine->spare_devices->next;
        free(engine->spare_devices);
        engine->spare_devices = next;
    }
    while (engine->slabs) {
        struct slab *next = engine->slabs->next;
        free(engine->slabs);
        engine->slabs = next;
    }
    while (engine->burials) {
        struct burial *next = engine->burials->next;
        free(engine->burials);
        engine->burials = next;
    }
    stage_free(engine->stage);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->stage_lock);
    free(engine);
}

void coproc_engine_forked(struct coproc_engine *engine)
{
    lock_init(engine);
    engine->forked = true;
}

void coproc_engine_trace_write(struct coproc_engine *engine)
{
    engine_enter(engine);
    trace_write(engine);
    engine_leave(engine);
}

bool coproc_engine_idle(const struct coproc_engine *engine)
{
    return atomic_load_explicit(&engine->live_count, memory_order_acquire) == 0;
}

enum coproc_mode coproc_engine_mode(const struct coproc_engine *engine)
{
    return engine->settings.mode;
}

bool coproc_engine_traces(const struct coproc_engine *engine)
{
    return engine->trace != NULL;
}

void coproc_engine_counts(struct coproc_engine *engine, struct coproc_counts *counts)
{
    engine_enter(engine);
    *counts = engine->counts;
    counts->live = engine->live_count;
    engine_leave(engine);
}

/* ---- the lock
 * -------------------------------------------------------------------------------------------------------------------------
 */

void engine_enter(struct coproc_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
}

/* The oldest burial when nothing before it is live any more. */
static struct burial *burial_due(struct coproc_engine *engine)
{
    struct burial *due = engine->burials;
    if (!due)
        return NULL;
    /* A shut gate uses nothing itself. */
    const struct coproc_command *first = engine->live.first;
    while (first && !first->queue && first->sequence <= due->after)
        first = first->in_live.next;
    if (first && first->sequence <= due->after)
        return NULL;
    engine->burials = due->next;
    if (!engine->burials)
        engine->burials_end = &engine->burials;
    return due;
}

static void notices_deliver(struct coproc_engine *engine)
{
    engine->delivering = true;
    while (engine->notices) {
        struct coproc_command *command = engine->notices;
        engine->notices = command->walk_next;
        if (!engine->notices)
            engine->notices_end = &engine->notices;
        const struct coproc_driver *driver = command->driver;
        int status = command->status;
        pthread_mutex_unlock(&engine->lock);
        driver->retired(command, status);
        pthread_mutex_lock(&engine->lock);
        command_unref_locked(command);
    }
    engine->delivering = false;
}

static void dead_release(struct coproc_engine *engine)
{
    struct coproc_command *command = engine->dead;
    engine->dead = command->walk_next;
    const struct coproc_driver *driver = command->driver;
    if (driver && driver->released) {
        pthread_mutex_unlock(&engine->lock);
        driver->released(command);
        pthread_mutex_lock(&engine->lock);
    }
    command_recycle(command);
}

void engine_leave(struct coproc_engine *engine)
{
    COPROC_ASSERT(!engine->executed);
    for (;;) {
        struct burial *due;
        if (engine->notices && !engine->delivering) {
            notices_deliver(engine);
        } else if (engine->dead) {
            dead_release(engine);
        } else if ((due = burial_due(engine))) {
            pthread_mutex_unlock(&engine->lock);
            due->bury(due->object);
            free(due);
            pthread_mutex_lock(&engine->lock);
        } else {
            break;
        }
    }
    struct {
        struct coproc_device *device;
        bool executor, window;
    } rings[4];
    unsigned count = 0;
    bool progress = engine->ring_progress;
    engine->ring_progress = false;
    while (engine->ring_devices && count < 4) {
        struct coproc_device *device = engine->ring_devices;
        engine->ring_devices = device->ring_next;
        rings[count].device = device;
        rings[count].executor = device->ring;
        rings[count++].window = device->ring_window;
        device->ring = device->ring_window = false;
    }
    bool more = engine->ring_devices != NULL;
    if (!count && !progress) {
        pthread_mutex_unlock(&engine->lock);
        return;
    }
    engine->ringing++;
    pthread_mutex_unlock(&engine->lock);
    for (unsigned i = 0; i < count; i++) {
        if (rings[i].executor)
            bell_ring(&rings[i].device->bell);
        if (rings[i].window)
            bell_ring(&rings[i].device->window);
    }
    if (progress)
        bell_ring(&engine->progress);
    if (more) {
        engine_enter(engine);
        engine_leave(engine);
    }
    atomic_fetch_sub_explicit(&engine->ringing, 1, memory_order_release);
}

void coproc_bury(struct coproc_engine *engine, void (*bury)(void *object), void *object)
{
    struct burial *burial = malloc(sizeof *burial);
    COPROC_ASSERT(burial);
    engine_enter(engine);
    if (engine->forked) {
        engine_leave(engine);
        free(burial);
        return;
    }
    *burial = (struct burial){bury, object, engine->sequence, NULL};
    *engine->burials_end = burial;
    engine->burials_end = &burial->next;
    engine_leave(engine);
}

/* ---- coprocessors and queues
 * ----------------------------------------------------------------------------------------------------
 */

/* The struct of a device is used again, never freed before the engine: a thread may be about to
 * ring its bell. */
struct coproc_device *coproc_device_new(struct coproc_engine *engine, const struct coproc_driver *driver,
                                        const char *name)
{
    COPROC_ASSERT(driver->lanes >= 1 && driver->lanes <= COPROC_LANES_MAX && driver->chain_depth >= 1);
    engine_enter(engine);
    struct coproc_device *device = engine->spare_devices;
    if (device) {
        engine->spare_devices = device->next;
        struct bell bell = device->bell, window = device->window;
        memset(device, 0, sizeof *device);
        device->bell = bell;
        device->window = window;
    } else {
        device = calloc(1, sizeof *device);
    }
    if (device) {
        device->engine = engine;
        device->driver = *driver;
        device->number = engine->device_numbers++;
        snprintf(device->name, sizeof device->name, "%s", name);
        device->running = pthread_create(&device->thread, NULL, executor_run, device) == 0;
        device->next = engine->devices;
        engine->devices = device;
    }
    engine_leave(engine);
    if (device && !device->running) {
        coproc_device_free(device);
        device = NULL;
    }
    return device;
}

void coproc_device_free(struct coproc_device *device)
{
    struct coproc_engine *engine = device->engine;
    engine_enter(engine);
    COPROC_ASSERT(device->live == 0 || engine->forked);
    bool running = device->running && !engine->forked;
    device->stop = true;
    executor_kick(device);
    engine_leave(engine);
    if (running)
        pthread_join(device->thread, NULL);
    engine_enter(engine);
    struct coproc_device **next = &engine->devices;
    while (*next != device)
        next = &(*next)->next;
    *next = device->next;
    device->next = engine->spare_devices;
    engine->spare_devices = device;
    engine_leave(engine);
}

bool coproc_device_idle(const struct coproc_device *device)
{
    return atomic_load_explicit(&device->live, memory_order_relaxed) == 0;
}

struct coproc_queue *coproc_queue_new(struct coproc_device *device, bool in_order, bool ordered)
{
    struct coproc_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    engine_enter(device->engine);
    *queue = (struct coproc_queue){
        .device = device, .in_order = in_order, .ordered = ordered, .number = device->engine->queue_numbers++};
    engine_leave(device->engine);
    return queue;
}

void coproc_queue_free(struct coproc_queue *queue)
{
    struct coproc_engine *engine = queue->device->engine;
    engine_enter(engine);
    queue->freed = true;
    if (!queue->live)
        free(queue);
    engine_leave(engine);
}

struct coproc_device *coproc_queue_device(const struct coproc_queue *queue)
{
    return queue->device;
}
