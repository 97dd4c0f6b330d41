/*
 * A coprocessor of the tests' own: lanes are lists, one thread takes the head of a lane that chance
 * picks and runs it. What order the engine allows, it may take; what it forbids shows in the data.
 * Not for speed.
 */
#ifndef TESTS_MOCK_DEVICE_H
#define TESTS_MOCK_DEVICE_H

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "coproc/engine.h"

#define MOCK_DEPTH 64

struct mock_work {
    void (*run)(struct coproc_command *command, void *argument); /* may be NULL */
    void *argument;
    int submit_status, status;
    unsigned delay_us;
};

struct mock_device {
    struct coproc_driver driver;
    struct coproc_device *device;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool stop, held; /* held: accepts, runs nothing */
    bool inside;     /* runs commands inside submit */
    unsigned seed, submitted, deepest;
    struct {
        struct coproc_command *commands[MOCK_DEPTH];
        unsigned count;
    } lanes[COPROC_LANES_MAX];
};

static inline struct mock_work *mock_work(struct coproc_command *command)
{
    return coproc_command_payload(command);
}

static int mock_submit(void *context, struct coproc_command *command, unsigned lane)
{
    struct mock_device *mock = context;
    if (mock_work(command)->submit_status < 0)
        return mock_work(command)->submit_status;
    if (lane == COPROC_LANES_MAX || mock->inside) { /* no lane: an inline one */
        coproc_command_done(command, mock_work(command)->status);
        return 0;
    }
    pthread_mutex_lock(&mock->lock);
    mock->submitted++;
    mock->lanes[lane].commands[mock->lanes[lane].count++] = command;
    if (mock->lanes[lane].count > mock->deepest)
        mock->deepest = mock->lanes[lane].count;
    pthread_cond_signal(&mock->change);
    pthread_mutex_unlock(&mock->lock);
    return 0;
}

static inline unsigned mock_busy(struct mock_device *mock, unsigned *lanes)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < mock->driver.lanes && !mock->held; i++)
        if (mock->lanes[i].count)
            lanes[busy++] = i;
    return busy;
}

static void *mock_run(void *argument)
{
    struct mock_device *mock = argument;
    pthread_mutex_lock(&mock->lock);
    for (;;) {
        unsigned lanes[COPROC_LANES_MAX], busy;
        while ((busy = mock_busy(mock, lanes)) == 0 && !mock->stop)
            pthread_cond_wait(&mock->change, &mock->lock);
        if (!busy)
            break;
        unsigned lane = lanes[(unsigned)rand_r(&mock->seed) % busy];
        struct coproc_command *command = mock->lanes[lane].commands[0];
        struct mock_work *work = mock_work(command);
        pthread_mutex_unlock(&mock->lock);
        if (work->delay_us)
            nanosleep(&(struct timespec){.tv_nsec = (long)work->delay_us * 1000}, NULL);
        pthread_mutex_lock(&mock->lock);
        if (work->run)
            work->run(command, work->argument);
        mock->lanes[lane].count--;
        for (unsigned i = 0; i < mock->lanes[lane].count; i++)
            mock->lanes[lane].commands[i] = mock->lanes[lane].commands[i + 1];
        int status = work->status;
        pthread_mutex_unlock(&mock->lock);
        coproc_command_done(command, status);
        pthread_mutex_lock(&mock->lock);
    }
    pthread_mutex_unlock(&mock->lock);
    return NULL;
}

static inline void mock_hold(struct mock_device *mock, bool held)
{
    pthread_mutex_lock(&mock->lock);
    mock->held = held;
    pthread_cond_signal(&mock->change);
    pthread_mutex_unlock(&mock->lock);
}

static inline unsigned mock_submitted(struct mock_device *mock)
{
    pthread_mutex_lock(&mock->lock);
    unsigned submitted = mock->submitted;
    pthread_mutex_unlock(&mock->lock);
    return submitted;
}

/* driver.lanes, chain_depth, retired and released may be set before. */
static inline void mock_start(struct mock_device *mock, struct coproc_engine *engine, unsigned seed)
{
    mock->seed = seed;
    mock->driver.submit = mock_submit;
    mock->driver.context = mock;
    if (!mock->driver.lanes)
        mock->driver.lanes = 4;
    if (!mock->driver.chain_depth)
        mock->driver.chain_depth = 4;
    pthread_mutex_init(&mock->lock, NULL);
    pthread_cond_init(&mock->change, NULL);
    mock->device = coproc_device_new(engine, &mock->driver, "mock");
    pthread_create(&mock->thread, NULL, mock_run, mock);
}

/* After the engine's end, or when it is drained. */
static inline void mock_end(struct mock_device *mock)
{
    pthread_mutex_lock(&mock->lock);
    mock->stop = true;
    mock->held = false;
    pthread_cond_signal(&mock->change);
    pthread_mutex_unlock(&mock->lock);
    pthread_join(mock->thread, NULL);
}

#endif
