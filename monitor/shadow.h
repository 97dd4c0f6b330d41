/*
 * Shadows: the home half of a thread that is active on a peer.
 * Not for the other half (monitor/active.h).
 */
#ifndef MONITOR_SHADOW_H
#define MONITOR_SHADOW_H

#include "monitor/signal.h"
#include "monitor/thread.h"

/*
 * Sends `context` to thread->node and serves the active half from then on; the thread goes on at home when it returns.
 * All signals blocked, on the thread's monitor stack with nothing on it that is still needed.
 */
_Noreturn void shadow_run(struct thread *thread, const struct wire_context *context);

/* Asks the thread with this tid to move to `node`, and waits a moment for it to go. -ESRCH no such thread, -EINVAL no
 * such node. */
int shadow_migrate(pid_t tid, unsigned node);

/* Signal context at home: SIGNAL_INTERRUPT hit the program's code. */
void shadow_interrupted(struct thread *thread, struct frame_ucontext *context);
/* Exit path at home: thread->target names a node. Does not return when the thread moves. */
void shadow_depart_call(struct thread *thread, const struct registers *registers);

void shadow_counters(uint64_t *migrations);

/* thread->context goes on, where the thread may run: a signal may have brought it home. Signals are blocked. */
_Noreturn void shadow_resume(struct thread *thread);
/* The thread goes to a node where it may run if it is elsewhere; the caller when its call ends. Any thread of this
 * process. */
void shadow_follow_affinity(pid_t tid);
/* Waits until another thread is there, 200 ms at most. */
void shadow_await_affinity(pid_t tid);

#endif
