/*
 * Telling the time and the processor to the program: the kernel's answer, made the session's.
 * Not for set-up (monitor/clock.c). Runs on the monitor's stack and FS base, but on the program's
 * vector registers and at any moment of a thread's life, so: general registers only, no TLS, no
 * locks. What is written to the program may fault.
 */
#include "monitor/clock_private.h"
#include "syscall/entry.h"

#define NS_PER_SECOND 1000000000l

static const struct clock_answer make_call = {0, 1};

static bool time_read(unsigned clock, struct timespec *out)
{
    if (clock >= CLOCK_IDS || !(clock_state.quick >> clock & 1) || clock_state.clock_gettime((int)clock, out) != 0)
        return false;
    int64_t nanoseconds = out->tv_nsec + clock_state.offset_ns[clock] % NS_PER_SECOND;
    out->tv_sec += clock_state.offset_ns[clock] / NS_PER_SECOND;
    if (nanoseconds < 0) {
        nanoseconds += NS_PER_SECOND;
        out->tv_sec--;
    } else if (nanoseconds >= NS_PER_SECOND) {
        nanoseconds -= NS_PER_SECOND;
        out->tv_sec++;
    }
    out->tv_nsec = nanoseconds;
    return true;
}

struct clock_answer clock_answer_gettime(long clock, struct timespec *program)
{
    struct timespec now;
    if (!time_read((unsigned)clock, &now) || user_copy(program, &now, sizeof now) != 0)
        return make_call;
    return (struct clock_answer){0, 0};
}

struct clock_answer clock_answer_timeofday(void *program, void *zone)
{
    struct timespec now;
    if (zone != NULL || !time_read(CLOCK_REALTIME, &now))
        return make_call;
    const long timeval[2] = {now.tv_sec, now.tv_nsec / 1000};
    if (program != NULL && user_copy(program, timeval, sizeof timeval) != 0)
        return make_call;
    return (struct clock_answer){0, 0};
}

struct clock_answer clock_answer_time(long *program)
{
    struct timespec now;
    if (!time_read(CLOCK_REALTIME, &now))
        return make_call;
    if (program != NULL && user_copy(program, &now.tv_sec, sizeof now.tv_sec) != 0)
        return make_call;
    return (struct clock_answer){now.tv_sec, 0};
}

struct clock_answer clock_answer_getcpu(unsigned *processor, unsigned *numa_node)
{
    unsigned here, node;
    if (!clock_state.processors_known || clock_state.getcpu == NULL || clock_state.getcpu(&here, &node, NULL) != 0 ||
        here >= PROCESSORS_MAX)
        return make_call;
    here = clock_state.processors[here];
    if ((processor != NULL && user_copy(processor, &here, sizeof here) != 0) ||
        (numa_node != NULL && user_copy(numa_node, &node, sizeof node) != 0))
        return make_call;
    return (struct clock_answer){0, 0};
}
