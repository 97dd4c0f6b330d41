/*
 * Signals: catching them in whatever state the thread is, and the calls that steer them.
 *
 * Two states: the program's own code, where a frame is built and resumed at once (monitor/signal_frame.c); and the
 * monitor, where the signal is queued in the thread and everything else blocked until the call in progress, cut short
 * at its system call instruction, has come back to the exit path.
 */
#include "monitor/signal.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/active.h"
#include "monitor/calls.h"
#include "monitor/calls_32.h"
#include "monitor/clock.h"
#include "monitor/damage.h"
#include "monitor/fatal.h"
#include "monitor/patching.h"
#include "monitor/process.h"
#include "monitor/report.h"
#include "monitor/sandbox.h"
#include "monitor/session.h"
#include "monitor/shadow.h"
#include "monitor/signal_private.h"
#include "monitor/suspend.h"
#include "syscall/patch.h"
#include "syscall/site.h"
#include "syscall/table_32.h"

#ifndef SA_RESTORER
#define SA_RESTORER 0x04000000
#endif
#define SIGINFO_SECCOMP       1
#define SIGINFO_USER_DISPATCH 2
#define ARCH_X86_64           0xc000003eu

/* Returns what was there before. */
static struct signal_action host_install(int signal, uint64_t flags)
{
    struct signal_action old, host = {
                                  .handler = (uint64_t)signal_entry,
                                  .flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_RESTORER | flags,
                                  .restorer = (uint64_t)signal_restorer,
                                  .mask = ~SIGNALS_SYNCHRONOUS,
                              };
    long result = syscall(SYS_rt_sigaction, signal, &host, &old, sizeof host.mask);
    SPAN_ASSERT(result == 0);
    return old;
}

static void host_plain(int signal, uint64_t handler, uint64_t flags)
{
    struct signal_action host = {
        .handler = handler, .flags = SA_RESTORER | flags, .restorer = (uint64_t)signal_restorer};
    syscall(SYS_rt_sigaction, signal, &host, NULL, sizeof host.mask);
}

/* A program starts with signals ignored or not, as it was started; those that are not ours are asked for when needed.
 */
static void action_inherit(struct process *process, int signal, const struct signal_action *host)
{
    if (host->handler == (uint64_t)SIG_IGN)
        process->actions[signal].handler = (uint64_t)SIG_IGN;
    process->known |= SIGNAL_BIT(signal);
}

struct signal_action *signal_action_of(struct process *process, int signal)
{
    struct signal_action host = {0};
    if (!(process->known & SIGNAL_BIT(signal)) && syscall(SYS_rt_sigaction, signal, NULL, &host, sizeof host.mask) == 0)
        action_inherit(process, signal, &host);
    return &process->actions[signal];
}

void signal_initialise(bool peer)
{
    const uint64_t faults = peer ? SIGNALS_FAULTS : SIGNALS_SYNCHRONOUS;
    for (int signal = 1; signal <= 64; signal++) {
        if (!((faults | SIGNALS_OURS) & SIGNAL_BIT(signal)))
            continue;
        struct signal_action old = host_install(signal, faults & SIGNAL_BIT(signal) ? SA_NODEFER : 0);
        action_inherit(&process_first, signal, &old);
    }
}

static void interrupt_send(pid_t tid, uint64_t value)
{
    siginfo_t info = {.si_signo = SIGNAL_INTERRUPT, .si_code = SI_QUEUE};
    info.si_pid = getpid();
    info.si_value.sival_ptr = (void *)value;
    syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGNAL_INTERRUPT, &info);
}

void signal_interrupt(pid_t tid)
{
    interrupt_send(tid, SIGNAL_INTERRUPT_VALUE);
}

void signal_report(pid_t tid)
{
    interrupt_send(tid, SIGNAL_REPORT_VALUE);
}

void signal_suspend(pid_t tid)
{
    interrupt_send(tid, SIGNAL_SUSPEND_VALUE);
}

static bool interrupt_is_ours(int signal, const siginfo_t *info, uint64_t value)
{
    return signal == SIGNAL_INTERRUPT && info->si_code == SI_QUEUE && (uint64_t)info->si_value.sival_ptr == value &&
           info->si_pid == getpid();
}

/* The program's own code, or the kernel's vDSO called by it; not our text, part of which runs before the flag is set.
 */
static bool in_program(const struct frame_ucontext *context, bool in_monitor)
{
    extern const char __executable_start[], etext[];
    uint64_t at = context->g[REG_RIP];
    return at < SPAN_ZONE_END || (!in_monitor && (at < (uint64_t)__executable_start || at >= (uint64_t)etext));
}

static bool between(uint64_t value, const char *first, const char *last)
{
    return value >= (uint64_t)first && value <= (uint64_t)last;
}

/* A call that dispatch caught: goes on in the common entry as if the program had jumped there. */
static void dispatch(struct frame_ucontext *context)
{
    context->g[REG_RCX] = patch_translate_return(context->g[REG_RIP]);
    context->g[REG_R11] = context->g[REG_EFL];
    context->g[REG_RIP] = (uint64_t)syscall_entry;
}

bool signal_dispatch(int signal, const siginfo_t *info, struct frame_ucontext *context, bool in_monitor)
{
    if (signal != SIGSYS || info->si_code != SIGINFO_USER_DISPATCH)
        return false;
    uint64_t after = context->g[REG_RIP];
    if (info->si_arch != ARCH_X86_64 || in_monitor ||
        (after < SPAN_ZONE_END && patching_wanted() && site_hit(after - 2)))
        return false;
    dispatch(context);
    return true;
}

/* The kernel's vDSO made it on behalf of the monitor. */
static void monitor_call(struct frame_ucontext *context)
{
    long result = syscall((long)context->g[REG_RAX], context->g[REG_RDI], context->g[REG_RSI], context->g[REG_RDX],
                          context->g[REG_R10], context->g[REG_R8], context->g[REG_R9]);
    context->g[REG_RAX] = result == -1 ? (uint64_t)-errno : (uint64_t)result;
}

static void dispatch_slow(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context, bool in_monitor)
{
    uint64_t site = context->g[REG_RIP] - 2;
    if (info->si_arch != ARCH_X86_64) { /* int 0x80 */
        if (in_monitor)
            context->g[REG_RAX] = (uint64_t)-ENOSYS;
        else if (active_is_peer())
            active_call_32(thread, context);
        else
            call_32_caught(thread, context);
        return;
    }
    if (in_monitor) {
        monitor_call(context);
        return;
    }
    patching_site(site);
    dispatch(context);
}

/* Faults of our own accesses to the program's memory go on at a label. True when it was one. */
static bool fault_of_copy(struct frame_ucontext *context)
{
    uint64_t at = context->g[REG_RIP];
    if (at == (uint64_t)user_copy_start)
        context->g[REG_RIP] = (uint64_t)user_copy_fault;
    else if (at == (uint64_t)user_exchange_start)
        context->g[REG_RIP] = (uint64_t)user_exchange_fault;
    else if (at == (uint64_t)entry_probe0 || at == (uint64_t)entry_probe1 || at == (uint64_t)entry_probe0_path1 ||
             at == (uint64_t)entry_probe1_path1)
        context->g[REG_RIP] = (uint64_t)other_direct;
    else
        return false;
    return true;
}

/*
 * Interrupted in the monitor with something to do before the program goes on: leaves the windows in which "nothing is
 * pending" has been tested already. True when the thread turns out to be in the program after all: a direct call that
 * has just returned.
 */
static bool windows_leave(struct thread *thread, struct frame_ucontext *context)
{
    uint64_t at = context->g[REG_RIP];
    if (at == (uint64_t)direct_after) {
        context->g[REG_RIP] = thread->return_address;
        return true;
    }
    if (between(at, direct_check, direct_call)) {
        bool begun = at == (uint64_t)direct_call && context->g[REG_RCX] == (uint64_t)direct_after;
        thread->restart = begun ? RESULT_RESTART_SYS : RESULT_RESTART_NOINT;
        context->g[REG_RIP] = (uint64_t)direct_abort;
    } else if (between(at, gadget_check, gadget_call)) {
        bool begun = at == (uint64_t)gadget_call && context->g[REG_RCX] == (uint64_t)gadget_after;
        context->g[REG_RIP] = (uint64_t)(begun ? gadget_after : gadget_abort);
        if (begun)
            context->g[REG_RAX] = (uint64_t)RESULT_RESTART_SYS;
    } else if (between(at, clock_check, clock_leave)) {
        context->g[REG_RIP] = (uint64_t)clock_check;
    } else if (at >= (uint64_t)leave_start && at < (uint64_t)leave_end) {
        context->g[REG_RIP] = (uint64_t)leave_start;
    }
    return false;
}

static void queue(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context)
{
    if (thread->signal_count < THREAD_SIGNALS_MAX) { /* more only when faults are sent by hand: those do not queue */
        thread->signal_held[thread->signal_count] = false;
        thread->signals[thread->signal_count++] = *info;
    }
    atomic_fetch_or(&thread->pending, PENDING_SIGNAL);
    context->sigmask = ~SIGNALS_SYNCHRONOUS;
}

/* No handler of the program's can have it: the kernel's default, which ends the process with the right status. */
static void default_action(const siginfo_t *info, struct frame_ucontext *context)
{
    int signal = info->si_signo;
    if (signal == SIGSEGV || signal == SIGBUS)
        damage_judge(info, context->g[REG_RIP]);
    host_plain(signal, (uint64_t)SIG_DFL, 0);
    context->sigmask &= ~SIGNAL_BIT(signal);
    if (info->si_code <= 0 || !(SIGNALS_SYNCHRONOUS & SIGNAL_BIT(signal)) || signal == SIGTRAP || signal == SIGSYS)
        syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signal, info);
    /* Otherwise the instruction faults again on return. */
}

static void asynchronous(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context, bool in_monitor)
{
    int signal = info->si_signo;
    if (signal == SIGNAL_INTERRUPT && (thread->mask & SIGNAL_BIT(signal))) {
        signal_hold(thread, info); /* the program blocks it, the kernel may not */
        return;
    }
    if (!in_program(context, in_monitor) && !windows_leave(thread, context)) {
        queue(thread, info, context);
        return;
    }
    struct signal_action action;
    context->sigmask = thread->mask & ~SIGNALS_OURS;
    if (signal_take_action(thread, signal, &action))
        signal_frame_now(thread, &action, info, context);
    else if (!signal_is_ignored(thread, signal))
        default_action(info, context); /* the program has gone back to it meanwhile */
}

/*
 * A seccomp filter of the program's answers a call with a signal. The calls of the program are made by our text: the
 * signal names the place where the program made it, and what carries the call out sees that the kernel has not done it.
 * Of calls that the monitor makes for itself the program learns nothing.
 */
static void refused_by_filter(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context,
                              bool in_monitor)
{
    siginfo_t told = *info;
    if (sandbox_is_strict(info->si_errno))
        syscall(SYS_kill, getpid(), SIGKILL);
    uint64_t after = context->g[REG_RIP];
    if (after == (uint64_t)direct_after) {
        after = thread->return_address;
    } else if (!in_program(context, in_monitor)) {
        context->g[REG_RAX] = (uint64_t)-EPERM;
        if (after != (uint64_t)gadget_after)
            return;
        after = ((const struct registers *)(thread->monitor_rsp - REGISTERS_BYTES))->g[REG_RIP];
    }
    uint64_t own = patch_translate(after);
    told.si_call_addr = (void *)(own ? own : after);
    asynchronous(thread, &told, context, in_monitor);
}

static void synchronous(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context, bool in_monitor)
{
    int signal = info->si_signo;
    if (signal == SIGSYS && info->si_code == SIGINFO_SECCOMP && !active_is_peer()) {
        refused_by_filter(thread, info, context, in_monitor);
        return;
    }
    if (info->si_code > 0 && fault_of_copy(context))
        return;
    uint64_t resume;
    if (signal == SIGTRAP && info->si_code > 0 && patch_trap(context->g[REG_RIP] - 1, &resume)) {
        context->g[REG_RIP] = resume;
        return;
    }
    if (info->si_code <= 0 && !active_is_peer() && (thread->mask & SIGNAL_BIT(signal))) {
        /* Sent while blocked, and we never block it: keep it until the mask allows it. */
        signal_hold(thread, info);
        return;
    }
    if (!in_program(context, in_monitor)) {
        if (info->si_code <= 0) { /* sent by somebody */
            if (!windows_leave(thread, context)) {
                queue(thread, info, context);
                return;
            }
        } else {
            host_plain(signal, (uint64_t)SIG_DFL, 0);
            span_warn("internal error: signal %d at %#lx (image at %#lx), address %p; please report", signal,
                      context->g[REG_RIP], (uint64_t) __extension__({
                          extern const char __executable_start[];
                          __executable_start;
                      }),
                      info->si_addr);
            return;
        }
    }
    if (active_is_peer()) {
        active_fault(thread, info, context);
        return;
    }
    struct signal_action action;
    if (!(thread->mask & SIGNAL_BIT(signal)) && signal_take_action(thread, signal, &action)) {
        signal_frame_now(thread, &action, info, context);
        return;
    }
    if (info->si_code <= 0 && signal_is_ignored(thread, signal))
        return;
    default_action(info, context);
}

/* A direct call that the kernel ended only for our signal: made again, and meanwhile the thread moves. */
static bool call_cut_short(struct thread *thread, struct frame_ucontext *context)
{
    if (context->g[REG_RIP] != (uint64_t)direct_after || context->g[REG_RAX] != (uint64_t)-EINTR ||
        thread->entry_number == SYS_close)
        return false;
    thread->restart = RESULT_RESTART_NOHAND;
    context->g[REG_RAX] = thread->entry_number;
    context->g[REG_RIP] = (uint64_t)direct_abort;
    return true;
}

static void interrupted(struct thread *thread, struct frame_ucontext *context, bool in_monitor)
{
    if (call_cut_short(thread, context)) {
        atomic_fetch_or(&thread->pending, PENDING_MOVE);
        return;
    }
    if (in_program(context, in_monitor) || windows_leave(thread, context)) {
        if (!active_is_peer())
            session_stop_at_end();
        if (context->g[REG_RIP] >= SPAN_ZONE_END)
            return; /* in the vDSO: the asker asks again */
        if (active_is_peer())
            active_interrupted(thread, context);
        else
            shadow_interrupted(thread, context);
        return;
    }
    atomic_fetch_or(&thread->pending, PENDING_MOVE);
}

/* It has been asked where it is, and goes on with what it did: a call that was cut short is made again, as it is for a
 * thread that moves. On a peer no call waits. */
static void looked(struct thread *thread, struct frame_ucontext *context, bool in_monitor)
{
    bool program = in_program(context, in_monitor);
    report_note(thread, context, program);
    if (!active_is_peer() && (call_cut_short(thread, context) || !program))
        atomic_fetch_or(&thread->pending, PENDING_MOVE);
}

/* What interrupted this handler of ours and waits in the thread, before the program goes on. */
static void deliver_nested(struct thread *thread, struct frame_ucontext *context)
{
    unsigned kept = 0, count = thread->signal_count;
    atomic_fetch_and(&thread->pending, ~PENDING_SIGNAL);
    for (unsigned i = 0; i < count; i++) {
        struct signal_action action;
        siginfo_t info = thread->signals[i];
        if (thread->mask & SIGNAL_BIT(info.si_signo)) {
            thread->signals[kept] = info;
            thread->signal_held[kept++] = true;
        } else if (signal_take_action(thread, info.si_signo, &action)) {
            signal_frame_now(thread, &action, &info, context);
        } else if (!signal_is_ignored(thread, info.si_signo)) {
            default_action(&info, context);
        }
    }
    thread->signal_count = kept;
}

void signal_handle(int signal, siginfo_t *info, struct frame_ucontext *context, bool in_monitor)
{
    struct thread *thread = thread_self();
    const uint64_t faults = active_is_peer() ? SIGNALS_FAULTS : SIGNALS_SYNCHRONOUS;
    if (signal == SIGSYS && info->si_code == SIGINFO_USER_DISPATCH)
        dispatch_slow(thread, info, context, in_monitor);
    else if (interrupt_is_ours(signal, info, SIGNAL_INTERRUPT_VALUE))
        interrupted(thread, context, in_monitor);
    else if (interrupt_is_ours(signal, info, SIGNAL_REPORT_VALUE))
        looked(thread, context, in_monitor);
    else if (interrupt_is_ours(signal, info, SIGNAL_SUSPEND_VALUE))
        suspend_here(thread, in_program(context, in_monitor));
    else if (faults & SIGNAL_BIT(signal))
        synchronous(thread, info, context, in_monitor);
    else
        asynchronous(thread, info, context, in_monitor);
    if (!active_is_peer() && context->g[REG_RIP] < SPAN_ZONE_END && (atomic_load(&thread->pending) & PENDING_SIGNAL))
        deliver_nested(thread, context);
}

/* May the signal at `index` be delivered now, after frames that changed the mask from `before`? */
static bool deliverable(const struct thread *thread, unsigned index, uint64_t before)
{
    uint64_t blocked = thread->signal_held[index] ? thread->mask : thread->mask & ~before;
    return !(blocked & SIGNAL_BIT(thread->signals[index].si_signo));
}

/* Nothing of the program's takes it: the kernel carries out the default, once the mask is open. */
static void deliver_default(const siginfo_t *info)
{
    if (SIGNALS_OURS & SIGNAL_BIT(info->si_signo))
        host_plain(info->si_signo, (uint64_t)SIG_DFL, 0);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), info->si_signo, info);
}

bool signal_deliver(struct thread *thread, struct registers *registers)
{
    bool handled = false;
    thread_block_signals();
    atomic_fetch_and(&thread->pending, ~PENDING_SIGNAL);
    uint64_t before = thread->mask;
    unsigned kept = 0;
    for (unsigned i = 0; i < thread->signal_count; i++) {
        struct signal_action action;
        siginfo_t info = thread->signals[i];
        if (!deliverable(thread, i, before)) {
            thread->signals[kept] = info;
            thread->signal_held[kept++] = true;
            continue;
        }
        if (!signal_take_action(thread, info.si_signo, &action)) {
            if (!signal_is_ignored(thread, info.si_signo))
                deliver_default(&info);
            continue;
        }
        if (thread->restart) {
            bool again = thread->restart == RESULT_RESTART_NOINT ||
                         (thread->restart == RESULT_RESTART_SYS && (action.flags & SA_RESTART));
            if (!again) {
                registers->g[REG_RAX] = (uint64_t)-EINTR;
                thread->restart = 0;
            } else {
                signal_restart(thread, registers);
            }
        }
        signal_frame_registers(thread, &action, &info, registers);
        handled = true;
    }
    thread->signal_count = kept;
    thread_set_mask(thread->mask & ~SIGNALS_OURS);
    return handled;
}

void signal_restart(struct thread *thread, struct registers *registers)
{
    if (!thread->restart)
        return;
    bool by_int_80;
    registers->g[REG_RIP] = call_restart_address(registers->g[REG_RIP], &by_int_80);
    registers->g[REG_RAX] = thread->restart_call;
    if (thread->restart == RESULT_RESTART_WAIT)
        registers->g[REG_RAX] = by_int_80 ? CALL_32_RESTART : SYS_restart_syscall;
    thread->restart = 0;
}

long signal_call_action(int signal, uint64_t new_action, uint64_t old_action, uint64_t size)
{
    if (size != sizeof(uint64_t))
        return -EINVAL;
    if (signal < 1 || signal > 64 || (new_action && (signal == SIGKILL || signal == SIGSTOP)))
        return -EINVAL;
    struct signal_action action;
    if (new_action && user_copy(&action, (const void *)new_action, sizeof action))
        return -EFAULT;
    struct process *process = thread_self()->process;
    pthread_mutex_lock(&process->lock);
    struct signal_action old = *signal_action_of(process, signal);
    if (new_action) {
        action.mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
        process->actions[signal] = action;
        bool ours = SIGNALS_OURS & SIGNAL_BIT(signal);
        if (!ours && action.handler > (uint64_t)SIG_IGN)
            host_install(signal, action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESETHAND));
        else if (!ours)
            host_plain(signal, action.handler, action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
    }
    pthread_mutex_unlock(&process->lock);
    if (old_action && user_copy((void *)old_action, &old, sizeof old))
        return -EFAULT;
    return 0;
}

void signal_before_exec(struct process *process)
{
    for (int signal = 1; signal <= 64; signal++)
        if ((SIGNALS_OURS & SIGNAL_BIT(signal)) && process->actions[signal].handler == (uint64_t)SIG_IGN)
            host_plain(signal, (uint64_t)SIG_IGN, 0);
}

void signal_after_exec(struct process *process)
{
    for (int signal = 1; signal <= 64; signal++)
        if ((SIGNALS_OURS & SIGNAL_BIT(signal)) && process->actions[signal].handler == (uint64_t)SIG_IGN)
            host_install(signal, SIGNALS_SYNCHRONOUS & SIGNAL_BIT(signal) ? SA_NODEFER : 0);
}
