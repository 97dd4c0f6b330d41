/*
 * Where the program's threads are, for spanctl stack and for who looks at a session that hangs.
 * Not for walking their stacks: that is done from outside (monitor/unwind.h).
 *
 * A thread is asked by a signal and notes its registers in its own struct thread; what it does is not disturbed: a call
 * is made again, and a page is waited for again. What has not looked in time is told from its last call.
 */
#ifndef MONITOR_REPORT_H
#define MONITOR_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

struct thread;
struct frame_ucontext;

/* Asks all threads whose active half is on this node. Takes the lock of the registry. */
void report_ask(void);
/* What they have noted since, and with `pages` what page each waits for, which only the pager's loop may look up: how
 * many of `room`. */
size_t report_take(struct wire_thread_report *reports, size_t room, bool pages);
/* The pager's callback. */
size_t report_question(uint32_t what, void *answer, size_t room);
/* Signal context: the thread looks. `in_program`: the registers are the program's. */
void report_note(struct thread *thread, const struct frame_ucontext *context, bool in_program);

#endif
