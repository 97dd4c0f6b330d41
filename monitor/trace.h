/* ptrace as seen from the traced side: a child that asks its parent to trace it. Not for tracers: the kernel serves
 * them. */
#ifndef MONITOR_TRACE_H
#define MONITOR_TRACE_H

#include <stdint.h>

#include "monitor/thread.h"

/* PTRACE_TRACEME: 0, or -EPERM when it has been asked for before. */
long trace_me(struct thread *thread);
/* Before call `number` of the thread: tells the kernel now if its tracer waits for the stop that the call brings. */
void trace_call(struct thread *thread, uint64_t number);

#endif
