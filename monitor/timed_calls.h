/*
 * Calls that wait for a time relative to their beginning, so that they can be cut short to move their thread and go on
 * afterwards. Not for absolute times nor for those whose remaining time the kernel writes back: they are simply made
 * again.
 */
#ifndef MONITOR_TIMED_CALLS_H
#define MONITOR_TIMED_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/thread.h"

/* True for a call that waits for a relative time with these arguments. */
bool timed_call_is(uint64_t number, const uint64_t a[6]);
/* Calls `visit` for each number that may be one. */
void timed_call_each(void (*visit)(uint64_t number, void *context), void *context);
/* Makes the call: its result, or RESULT_RESTART_WAIT when it was cut short only to move the thread. At home. */
long timed_call(struct thread *thread, uint64_t number, const uint64_t a[6]);
/* restart_syscall with the arguments of the call that was cut short: goes on for the time that is left. */
long timed_call_again(struct thread *thread, const uint64_t a[6]);

#endif
