/*
 * int 0x80 in a 64-bit program: the 32-bit calls, carried out as the x86-64 ones that do the same.
 * Not for which those are (syscall/table_32.h).
 */
#ifndef MONITOR_CALLS_32_H
#define MONITOR_CALLS_32_H

#include "monitor/signal.h"
#include "monitor/thread.h"

/* From the handler of the signal by which dispatch tells of one, at home: the call goes on when the handler returns. */
void call_32_caught(struct thread *thread, struct frame_ucontext *context);

#endif
