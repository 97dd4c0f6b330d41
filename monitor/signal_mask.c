/*
 * Masks and what waits behind them. The kernel's mask never blocks the signals that we need ourselves: one that the
 * program blocks and somebody sends is held here, and is pending, waited for and delivered as if the kernel held it.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/signal_private.h"
#include "monitor/timed_calls.h"

void signal_hold(struct thread *thread, const siginfo_t *info)
{
    if (thread->signal_count < THREAD_SIGNALS_MAX - THREAD_SIGNALS_FREE) {
        thread->signal_held[thread->signal_count] = true;
        thread->signals[thread->signal_count++] = *info;
    }
    if (thread->signal_wanted & SIGNAL_BIT(info->si_signo))
        atomic_fetch_or(&thread->pending, PENDING_SIGNAL); /* the wait ends and finds it */
}

void signal_release(struct thread *thread)
{
    for (unsigned i = 0; i < thread->signal_count; i++)
        if (!(thread->mask & SIGNAL_BIT(thread->signals[i].si_signo)))
            atomic_fetch_or(&thread->pending, PENDING_SIGNAL);
}

long signal_call_procmask(int how, uint64_t set, uint64_t old, uint64_t size)
{
    struct thread *thread = thread_self();
    if (size != sizeof(uint64_t))
        return -EINVAL;
    uint64_t mask = 0, before = thread->mask;
    if (set) {
        if (user_copy(&mask, (const void *)set, sizeof mask))
            return -EFAULT;
        mask &= ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
        if (how == SIG_BLOCK)
            mask |= before;
        else if (how == SIG_UNBLOCK)
            mask = before & ~mask;
        else if (how != SIG_SETMASK)
            return -EINVAL;
        /* Block first: what arrives between must not find a mask that the program does not have. */
        thread_block_signals();
        thread->mask = mask;
        if (!(atomic_load(&thread->pending) & PENDING_SIGNAL))
            thread_set_mask(mask & ~SIGNALS_OURS);
        signal_release(thread);
    }
    if (old && user_copy((void *)old, &before, sizeof before))
        return -EFAULT;
    return 0;
}

static bool on_alternate(const struct thread *thread, uint64_t sp)
{
    const stack_t *stack = &thread->alternate;
    return !(stack->ss_flags & SS_AUTODISARM_FLAG) && stack->ss_size && sp - (uint64_t)stack->ss_sp < stack->ss_size;
}

long signal_call_altstack(struct thread *thread, uint64_t new_stack, uint64_t old_stack, uint64_t sp)
{
    stack_t stack, old = thread->alternate;
    bool inside = on_alternate(thread, sp);
    old.ss_flags = old.ss_size == 0 ? SS_DISABLE : (inside ? SS_ONSTACK : 0) | (old.ss_flags & SS_AUTODISARM_FLAG);
    if (new_stack) {
        if (user_copy(&stack, (const void *)new_stack, sizeof stack))
            return -EFAULT;
        if (inside)
            return -EPERM;
        int mode = stack.ss_flags & ~SS_AUTODISARM_FLAG;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
            return -EINVAL;
        if (mode == SS_DISABLE) {
            stack.ss_size = 0;
            stack.ss_sp = NULL;
        } else if (stack.ss_size < 2048) {
            return -ENOMEM;
        }
        thread->alternate = stack;
    }
    if (old_stack && user_copy((void *)old_stack, &old, sizeof old))
        return -EFAULT;
    return 0;
}

long signal_call_pending(struct thread *thread, uint64_t set, uint64_t size)
{
    uint64_t pending = 0;
    if (size > sizeof pending)
        return -EINVAL;
    if (syscall(SYS_rt_sigpending, &pending, sizeof pending) != 0)
        return -errno;
    for (unsigned i = 0; i < thread->signal_count; i++)
        if (thread->mask & SIGNAL_BIT(thread->signals[i].si_signo))
            pending |= SIGNAL_BIT(thread->signals[i].si_signo);
    return user_copy((void *)set, &pending, size) ? -EFAULT : 0;
}

/* Takes the first held signal that is in `set`: its number, 0 when there is none. */
static long held_take(struct thread *thread, uint64_t set, uint64_t to)
{
    for (unsigned i = 0; i < thread->signal_count; i++) {
        siginfo_t info = thread->signals[i];
        if (!(set & SIGNAL_BIT(info.si_signo)))
            continue;
        if (to && user_copy((void *)to, &info, sizeof info))
            return -EFAULT;
        thread->signal_count--;
        memmove(&thread->signals[i], &thread->signals[i + 1], (thread->signal_count - i) * sizeof info);
        memmove(&thread->signal_held[i], &thread->signal_held[i + 1], thread->signal_count - i);
        return info.si_signo;
    }
    return 0;
}

long signal_call_wait(struct thread *thread, const uint64_t a[6])
{
    uint64_t set;
    if (a[3] != sizeof set || user_copy(&set, (const void *)a[0], sizeof set))
        return syscall_interruptible(SYS_rt_sigtimedwait, a);
    uint64_t ours = set & SIGNALS_OURS & thread->mask;
    thread->signal_wanted = ours;
    thread_block_signals(); /* what is held changes in signal handlers */
    long result = held_take(thread, ours, a[1]);
    if (!(atomic_load(&thread->pending) & PENDING_SIGNAL))
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
    if (result == 0) {
        result = timed_call_is(SYS_rt_sigtimedwait, a) ? timed_call(thread, SYS_rt_sigtimedwait, a)
                                                       : syscall_interruptible(SYS_rt_sigtimedwait, a);
        long held = result < 0 && ours ? held_take(thread, ours, a[1]) : 0;
        result = held ? held : result;
    }
    thread->signal_wanted = 0;
    return result;
}

/* ---- calls that bring a mask of their own ------------------------------------------------------------------------ */

/* The mask that the call waits with; false: none, or one that is the kernel's to refuse. */
static bool mask_of_call(uint64_t number, const uint64_t a[6], uint64_t *mask)
{
    uint64_t pair[2] = {0, sizeof *mask}; /* where, and its size */
    switch (number) {
    case SYS_rt_sigsuspend:
        pair[0] = a[0];
        pair[1] = a[1];
        break;
    case SYS_ppoll:
        pair[0] = a[3];
        pair[1] = a[4];
        break;
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
        pair[0] = a[4];
        pair[1] = a[5];
        break;
    case SYS_pselect6:
    case SYS_io_pgetevents:
        if (a[5] == 0 || user_copy(pair, (const void *)a[5], sizeof pair))
            return false;
        break;
    default:
        return false;
    }
    return pair[0] != 0 && pair[1] == sizeof *mask && user_copy(mask, (const void *)pair[0], sizeof *mask) == 0;
}

/* Lets what is held and in `open` be delivered as if the program did not block it. True when there was any. */
static bool held_release(struct thread *thread, uint64_t open)
{
    bool any = false;
    for (unsigned i = 0; i < thread->signal_count; i++) {
        if (!(open & SIGNAL_BIT(thread->signals[i].si_signo)))
            continue;
        thread->signal_held[i] = false;
        any = true;
    }
    if (any)
        atomic_fetch_or(&thread->pending, PENDING_SIGNAL);
    return any;
}

bool signal_call_opens(const struct thread *thread, uint64_t number, const uint64_t a[6])
{
    uint64_t mask;
    return mask_of_call(number, a, &mask) && (thread->mask & ~mask & SIGNALS_OURS) != 0;
}

long signal_call_opening(struct thread *thread, uint64_t number, const uint64_t a[6])
{
    uint64_t mask = UINT64_MAX;
    mask_of_call(number, a, &mask);
    const uint64_t open = thread->mask & ~mask & SIGNALS_OURS;
    thread->signal_wanted = open;
    thread_block_signals(); /* what is held changes in signal handlers */
    bool held = held_release(thread, open);
    if (!(atomic_load(&thread->pending) & PENDING_SIGNAL))
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
    long result = RESULT_RESTART_NOHAND;
    if (!held) {
        result = timed_call_is(number, a) ? timed_call(thread, number, a) : syscall_interruptible(number, a);
        if ((result == -EINTR || RESULT_IS_RESTART(result)) && held_release(thread, open))
            result = RESULT_RESTART_NOHAND;
    }
    thread->signal_wanted = 0;
    return result;
}
