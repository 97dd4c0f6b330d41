/*
 * Signals at home: what the program asked for, and bringing a signal to its handler with the kernel's frame.
 * Not for SIG_DFL and SIG_IGN, which are the kernel's own.
 */
#ifndef MONITOR_SIGNAL_H
#define MONITOR_SIGNAL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ucontext.h>

#include "monitor/thread.h"

#define SIGNAL_BIT(signal) (1ul << ((signal)-1))
/* Asks a thread of ours to look at thread.pending; told from the program's by its value. */
#define SIGNAL_INTERRUPT       64
#define SIGNAL_INTERRUPT_VALUE 0x5350414e4c4f4f4bul
#define SIGNAL_REPORT_VALUE    0x5350414e54454c4cul
#define SIGNAL_SUSPEND_VALUE   0x5350414e53544f50ul

/* Never blocked in the kernel's mask while the program runs: we need them ourselves. */
#define SIGNALS_SYNCHRONOUS (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGSYS))
/* On a peer, where every fault of the program's brings its thread home. */
#define SIGNALS_FAULTS (SIGNALS_SYNCHRONOUS | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGFPE))
#define SIGNALS_OURS   (SIGNALS_SYNCHRONOUS | SIGNAL_BIT(SIGNAL_INTERRUPT))

/* The kernel's struct sigaction. */
struct signal_action {
    uint64_t handler, flags, restorer, mask;
};

/* The kernel's struct ucontext as it lies in a frame. */
struct frame_ucontext {
    uint64_t flags, link;
    stack_t stack;
    uint64_t g[23]; /* gregs as in <sys/ucontext.h> */
    uint64_t fpstate;
    uint64_t reserved[8];
    uint64_t sigmask;
};
_Static_assert(sizeof(struct frame_ucontext) == 304, "the kernel's layout");

/* In the last 48 bytes of the FXSAVE part: struct _fpx_sw_bytes. */
#define FP_SW_OFFSET 464
#define FP_MAGIC1    0x46505853u
#define FP_MAGIC2    0x46505845u

/* Installs our handlers for the synchronous signals and the interrupt. Once for each process. */
void signal_initialise(bool peer);

/* rt_sigaction, rt_sigprocmask, rt_sigpending, rt_sigtimedwait, sigaltstack for the calling thread; kernel semantics,
 * negative errno. */
long signal_call_action(int signal, uint64_t new_action, uint64_t old_action, uint64_t size);
long signal_call_procmask(int how, uint64_t set, uint64_t old, uint64_t size);
long signal_call_pending(struct thread *thread, uint64_t set, uint64_t size);
long signal_call_wait(struct thread *thread, const uint64_t a[6]);
/* True when a call that brings its own mask (rt_sigsuspend, ppoll, ...) opens a signal that the kernel may not block
 * and the program blocks otherwise; then it is made by the second function. */
bool signal_call_opens(const struct thread *thread, uint64_t number, const uint64_t a[6]);
long signal_call_opening(struct thread *thread, uint64_t number, const uint64_t a[6]);
long signal_call_altstack(struct thread *thread, uint64_t new_stack, uint64_t old_stack, uint64_t sp);

/*
 * Brings the signals that wait in `thread` to the program: `registers` and the thread's vector state are those of the
 * program; afterwards they are those of the innermost handler. True when at least one handler runs. Sets the mask.
 */
bool signal_deliver(struct thread *thread, struct registers *registers);
/* The call in `thread->restart` was cut short and no handler runs: make it again. */
void signal_restart(struct thread *thread, struct registers *registers);

/* The mask has changed: what was held back and is open now becomes pending. */
void signal_release(struct thread *thread);

/* Sends SIGNAL_INTERRUPT to a thread of this process: it leaves what it does and looks what is wanted of it. */
void signal_interrupt(pid_t tid);
/* The same for report.h: it notes where it is; and for suspend.h: it stands still. */
void signal_report(pid_t tid);
void signal_suspend(pid_t tid);
/* exec: what is ignored by the program must be ignored by the kernel, for the next program inherits it. */
void signal_before_exec(struct process *process);
/* The exec has failed: our handlers are put back. */
void signal_after_exec(struct process *process);

/*
 * From signal_entry. signal_dispatch runs without TLS on whatever FS base there is, and is all there is to do when it
 * returns true; `in_monitor`: the signal hit the monitor domain.
 */
bool signal_dispatch(int signal, const siginfo_t *info, struct frame_ucontext *context, bool in_monitor);
void signal_handle(int signal, siginfo_t *info, struct frame_ucontext *context, bool in_monitor);

#endif
