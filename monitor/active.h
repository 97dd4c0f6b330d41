/*
 * Active halves: threads of the program that run on a peer.
 * Not for home's side (monitor/shadow.h).
 */
#ifndef MONITOR_ACTIVE_H
#define MONITOR_ACTIVE_H

#include <stdbool.h>

#include "monitor/signal.h"
#include "monitor/thread.h"

/* True in the runtime process of a peer. */
bool active_is_peer(void);

/* From the crossing: forwards the call in `registers`, or takes the thread home. */
void active_call(struct thread *thread, struct registers *registers);
/* From the exit path: home wants the thread. Does not return. */
_Noreturn void active_go_home(struct thread *thread, const struct registers *registers);

/* Signal context: a fault in the program, and SIGNAL_INTERRUPT in the program. */
void active_fault(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context);
void active_interrupted(struct thread *thread, struct frame_ucontext *context);

#endif
