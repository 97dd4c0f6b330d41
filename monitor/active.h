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
/* Peer, before the crossing is complete: general registers only, program's FS base. 0: done. active_quick.c. */
long active_call_quick(struct registers *registers);
/* What both ways of making a call share, of active_quick.c: getpid and its like; exit and calls for which the thread
 * goes home. */
bool active_answers_itself(struct thread *thread, struct registers *registers);
bool active_concerns_thread(uint64_t number);
void active_call_fill(struct wire_call *call, const struct registers *registers);
/* From the exit path: home wants the thread. Does not return. */
_Noreturn void active_go_home(struct thread *thread, const struct registers *registers);

/* Signal context: a fault in the program, and SIGNAL_INTERRUPT in the program. */
void active_fault(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context);
/* The same for int 0x80: home makes the call. */
void active_call_32(struct thread *thread, struct frame_ucontext *context);
void active_interrupted(struct thread *thread, struct frame_ucontext *context);

#endif
