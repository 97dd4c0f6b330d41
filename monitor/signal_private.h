/* Between signal.c and signal_frame.c. */
#ifndef MONITOR_SIGNAL_PRIVATE_H
#define MONITOR_SIGNAL_PRIVATE_H

#include "monitor/process.h"
#include "monitor/signal.h"

#define SS_AUTODISARM_FLAG ((int)(1u << 31))

/* The program's action: never NULL, inherited when the program has not set it. */
struct signal_action *signal_action_of(struct process *process, int signal);
/* The handler for `signal`, with SA_RESETHAND applied; false when it is ignored or left to the default. */
bool signal_take_action(struct thread *thread, int signal, struct signal_action *action);
bool signal_is_ignored(struct thread *thread, int signal);

/* Builds the frame for a signal that interrupted the program, and lets the return from ours go to the handler. */
void signal_frame_now(struct thread *thread, const struct signal_action *action, const siginfo_t *info,
                      struct frame_ucontext *context);
/* Builds the frame for registers in a call (vector state in thread->xsave) and changes them to enter the handler. */
void signal_frame_registers(struct thread *thread, const struct signal_action *action, const siginfo_t *info,
                            struct registers *registers);

/* A synchronous signal that was sent while the program blocks it: kept, and delivered when the mask allows. */
void signal_hold(struct thread *thread, const siginfo_t *info);

#endif
