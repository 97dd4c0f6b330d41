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
    if (thread->signal_count < THREAD_SIGNALS_MAX) {
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
