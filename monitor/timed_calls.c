/*
 * Waiting for a relative time: when the call is cut short, the moment at which it would have ended is kept in the
 * thread, and restart_syscall (as the kernel does, signal(7)) waits until then.
 */
#include "monitor/timed_calls.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

#define NANOSECONDS   1000000000u
#define MILLISECOND   1000000u
#define SECONDS_LIMIT (1l << 33) /* more is for ever */

static const struct timed {
    uint16_t number;
    uint8_t argument;  /* the one that says how long */
    bool milliseconds; /* an int; else a pointer to a timespec, NULL: no limit */
} timed_calls[] = {
    {SYS_poll, 2, true},
    {SYS_epoll_wait, 3, true},
    {SYS_epoll_pwait, 3, true},
    {SYS_epoll_pwait2, 3, false},
    {SYS_nanosleep, 0, false},
    {SYS_clock_nanosleep, 2, false},
    {SYS_rt_sigtimedwait, 2, false},
    {SYS_semtimedop, 3, false},
    {SYS_io_getevents, 4, false},
    {SYS_futex, 3, false},
};

static const struct timed *timed_find(uint64_t number)
{
    for (size_t i = 0; i < sizeof timed_calls / sizeof timed_calls[0]; i++)
        if (timed_calls[i].number == number)
            return &timed_calls[i];
    return NULL;
}

void timed_call_each(void (*visit)(uint64_t number, void *context), void *context)
{
    for (size_t i = 0; i < sizeof timed_calls / sizeof timed_calls[0]; i++)
        visit(timed_calls[i].number, context);
}

bool timed_call_is(uint64_t number, const uint64_t a[6])
{
    const struct timed *timed = timed_find(number);
    if (!timed || (timed->milliseconds ? (int)a[timed->argument] <= 0 : !a[timed->argument]))
        return false;
    if (number == SYS_futex)
        return ((int)a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
    return number != SYS_clock_nanosleep || !(a[1] & TIMER_ABSTIME);
}

/* The clock that the wait goes by: changes of the wall clock do not matter to relative times. */
static uint64_t clock_of(uint64_t number, const uint64_t a[6])
{
    clockid_t clock =
        number == SYS_clock_nanosleep && (clockid_t)a[0] != CLOCK_REALTIME ? (clockid_t)a[0] : CLOCK_MONOTONIC;
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/* How long the program wants to wait; false when that is for the kernel to refuse, or without end. */
static bool duration_read(const struct timed *timed, const uint64_t a[6], uint64_t *nanoseconds)
{
    if (timed->milliseconds) {
        *nanoseconds = (uint64_t)(int)a[timed->argument] * MILLISECOND;
        return true;
    }
    struct timespec duration;
    if (user_copy(&duration, (const void *)a[timed->argument], sizeof duration))
        return false;
    *nanoseconds = (uint64_t)duration.tv_sec * NANOSECONDS + (uint64_t)duration.tv_nsec;
    return duration.tv_sec >= 0 && duration.tv_sec < SECONDS_LIMIT && duration.tv_nsec >= 0 &&
           duration.tv_nsec < NANOSECONDS;
}

static bool cut_to_move(const struct thread *thread, long result)
{
    return result == -EINTR && !(atomic_load(&thread->pending) & PENDING_SIGNAL);
}

long timed_call(struct thread *thread, uint64_t number, const uint64_t a[6])
{
    const struct timed *timed = timed_find(number);
    uint64_t nanoseconds, start = clock_of(number, a);
    bool ends = duration_read(timed, a, &nanoseconds);
    long result = syscall_interruptible((long)number, a);
    /* An interruptible wait that the kernel would restart by itself (futex without a limit) says so in its own way. */
    if (!ends || !cut_to_move(thread, result))
        return result;
    thread->wait_call = number;
    thread->wait_end_ns = start + nanoseconds;
    return RESULT_RESTART_WAIT;
}

long timed_call_again(struct thread *thread, const uint64_t a[6])
{
    const struct timed *timed = timed_find(thread->wait_call);
    if (!timed)
        return -EINTR;
    uint64_t now = clock_of(timed->number, a);
    uint64_t left = thread->wait_end_ns > now ? thread->wait_end_ns - now : 0;
    struct timespec duration = {.tv_sec = (time_t)(left / NANOSECONDS), .tv_nsec = (long)(left % NANOSECONDS)};
    uint64_t arguments[6];
    memcpy(arguments, a, sizeof arguments);
    arguments[timed->argument] = timed->milliseconds ? (left + MILLISECOND - 1) / MILLISECOND : (uint64_t)&duration;
    long result = syscall_interruptible(timed->number, arguments);
    return cut_to_move(thread, result) ? RESULT_RESTART_WAIT : result;
}
