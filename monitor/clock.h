/*
 * The session's clocks and its vDSO: one time on every node, told without a system call.
 * Not for sleeping and timers, which are calls carried out at home, nor for the monitor's own
 * timestamps.
 *
 * The program calls the session's vDSO (monitor/vdso), which jumps to the functions below of the
 * node it is on. At home they are the kernel's own, on a peer ours (monitor/clock_entry.S): the
 * kernel's answer and an offset.
 */
#ifndef MONITOR_CLOCK_H
#define MONITOR_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/*
 * Where the session's vDSO jumps, for struct thread. Called by the program: its stack and FS base,
 * its arguments; RAX the number of the equivalent system call and RCX its return address. All
 * registers that a call may change are free.
 */
struct clock_functions {
    void *clock_gettime, *gettimeofday, *time, *clock_getres, *getcpu;
};

/* The bytes of the session's vDSO, page aligned, to be copied anywhere in the span zone, readable
 * and executable. */
const void *vdso_image(size_t *bytes);

/*
 * On a peer, before the first thread runs: what to add to this node's clocks to get home's, in
 * nanoseconds. A node that has monotonic and boot time in common with home to 10 ms runs on the
 * same kernel, and nothing is added, for the difference is that of the message. At home it need not
 * be called.
 */
void clock_initialise(int64_t monotonic_offset_ns, int64_t boottime_offset_ns, int64_t realtime_offset_ns);

/* CLOCK_MONOTONIC of this node, for the monitor itself. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * The session numbers this node's processors from `first` on: those that the calling thread may run
 * on now, in their order, `count` of them. Before the first thread runs. A peer that does not call
 * it asks home each time.
 */
void clock_processors(unsigned first, unsigned count);
/* Binds a thread of this process to those of the node's processors whose bits are set, bit 0 for `first`; to all of
 * them when there is no such. */
void clock_bind(pid_t tid, uint64_t processors);
/* The session's number of the processor that the caller runs on, and its NUMA node; for the system
 * call. */
void clock_getcpu(unsigned *processor, unsigned *numa_node);

/* Valid for ever; what it points to is fixed once clock_initialise and clock_processors have run.
 * Any domain. */
const struct clock_functions *clock_functions(void);

/*
 * For the signal handler: between these labels nothing has been found pending and the program is
 * about to go on. A thread interrupted there with something pending must continue at clock_check.
 */
extern const char clock_check[], clock_leave[];

#endif
