/*
 * The kernel's signal frame on the program's stack: struct rt_sigframe of arch/x86 (return address, ucontext, siginfo),
 * with the XSAVE area above it.
 */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/context.h"
#include "monitor/fatal.h"
#include "monitor/process.h"
#include "monitor/signal_private.h"
#include "syscall/patch.h"

#define RED_ZONE_BYTES 128
#define FLAGS_CLEARED  (0x400ul | 0x100ul | 0x10000ul) /* DF, TF, RF */

struct frame {
    uint64_t restorer;
    struct frame_ucontext context;
    siginfo_t info;
};
_Static_assert(sizeof(struct frame) == 440, "the kernel's layout");

bool signal_take_action(struct thread *thread, int signal, struct signal_action *action)
{
    struct process *process = thread->process;
    /* No lock: a handler may run in a signal frame on top of one that holds it. A torn read is the program's own race.
     */
    *action = *signal_action_of(process, signal);
    if (action->handler <= (uint64_t)SIG_IGN)
        return false;
    if (action->flags & SA_RESETHAND)
        process->actions[signal].handler = (uint64_t)SIG_DFL;
    return true;
}

bool signal_is_ignored(struct thread *thread, int signal)
{
    uint64_t handler = signal_action_of(thread->process, signal)->handler;
    if (handler == (uint64_t)SIG_IGN)
        return true;
    return handler == (uint64_t)SIG_DFL &&
           (signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH || signal == SIGCONT);
}

/* The stack to use, and where the frame and the XSAVE area of `bytes` go. */
static uint64_t frame_place(struct thread *thread, const struct signal_action *action, uint64_t sp, uint32_t bytes,
                            uint64_t *area)
{
    stack_t *stack = &thread->alternate;
    bool inside = stack->ss_size && sp - (uint64_t)stack->ss_sp < stack->ss_size;
    if ((action->flags & SA_ONSTACK) && stack->ss_size && !inside)
        sp = (uint64_t)stack->ss_sp + stack->ss_size;
    else
        sp -= RED_ZONE_BYTES;
    bool alternate = inside || ((action->flags & SA_ONSTACK) && stack->ss_size);
    sp = (sp - bytes - 4) & ~63ul;
    *area = sp;
    uint64_t place = ((sp - sizeof(struct frame)) & ~15ul) - 8;
    /* As the kernel: a frame that does not fit the alternate stack is not put below it. */
    return alternate && place - (uint64_t)stack->ss_sp >= stack->ss_size ? 0 : place;
}

static _Noreturn void frame_impossible(void)
{
    struct signal_action plain = {.handler = (uint64_t)SIG_DFL};
    syscall(SYS_rt_sigaction, SIGSEGV, &plain, NULL, sizeof plain.mask);
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    for (;;)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSEGV);
}

/* Writes everything; returns the handler's stack pointer. `area` is in standard format with markers. */
static uint64_t frame_write(struct thread *thread, const struct signal_action *action, const siginfo_t *info,
                            struct frame *frame, const uint8_t *area, uint32_t bytes)
{
    uint64_t area_place = 0;
    uint64_t place = frame_place(thread, action, frame->context.g[REG_RSP], bytes, &area_place);
    frame->restorer = action->restorer;
    frame->context.flags |= 6; /* UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
    frame->context.link = 0;
    frame->context.stack = thread->alternate;
    if (!thread->alternate.ss_size)
        frame->context.stack.ss_flags = SS_DISABLE;
    frame->context.sigmask = thread->mask;
    frame->context.g[REG_CSGSFS] = 0x2b000000000033ul;
    /* A handler that looks at the instruction sees the program's own, not a stub of ours; sigreturn maps it back. */
    uint64_t own = patch_translate(frame->context.g[REG_RIP]);
    if (own)
        frame->context.g[REG_RIP] = own;
    frame->context.fpstate = area ? area_place : 0;
    if (area)
        frame->context.flags |= 1; /* UC_FP_XSTATE */
    frame->info = *info;
    if (user_copy((void *)place, frame, sizeof *frame) || (area && user_copy((void *)area_place, area, bytes + 4)))
        frame_impossible();
    if (thread->alternate.ss_flags & SS_AUTODISARM_FLAG)
        memset(&thread->alternate, 0, sizeof thread->alternate);
    uint64_t add = action->mask;
    if (!(action->flags & SA_NODEFER))
        add |= SIGNAL_BIT(info->si_signo);
    thread->mask |= add;
    return place;
}

void signal_frame_now(struct thread *thread, const struct signal_action *action, const siginfo_t *info,
                      struct frame_ucontext *context)
{
    struct frame frame = {.context = *context};
    const uint8_t *area = (const uint8_t *)context->fpstate;
    uint32_t bytes = 508;
    if (area) {
        uint32_t software[5];
        memcpy(software, area + FP_SW_OFFSET, sizeof software);
        if (software[0] == FP_MAGIC1)
            bytes = software[4];
    }
    frame.context.flags &= ~7ul;
    uint64_t place = frame_write(thread, action, info, &frame, area, bytes);
    context->g[REG_RIP] = action->handler;
    context->g[REG_RSP] = place;
    context->g[REG_RDI] = (uint64_t)info->si_signo;
    context->g[REG_RSI] = place + offsetof(struct frame, info);
    context->g[REG_RDX] = place + offsetof(struct frame, context);
    context->g[REG_RAX] = 0;
    context->g[REG_EFL] &= ~FLAGS_CLEARED;
    context->fpstate = 0; /* a handler begins with the initial state */
    context->sigmask = thread->mask & ~SIGNALS_OURS;
}

void signal_frame_registers(struct thread *thread, const struct signal_action *action, const siginfo_t *info,
                            struct registers *registers)
{
    struct frame frame;
    memset(&frame, 0, sizeof frame);
    memcpy(frame.context.g, registers->g, sizeof registers->g);
    uint8_t *area = thread->frame;
    uint32_t bytes = thread_xsave_bytes();
    memset(area, 0, 512 + 64);
    xstate_convert(thread->xsave, area, thread->xfeatures);
    context_frame_markers(area, bytes);
    uint64_t place = frame_write(thread, action, info, &frame, area, bytes);
    registers->g[REG_RIP] = action->handler;
    registers->g[REG_RSP] = place;
    registers->g[REG_RDI] = (uint64_t)info->si_signo;
    registers->g[REG_RSI] = place + offsetof(struct frame, info);
    registers->g[REG_RDX] = place + offsetof(struct frame, context);
    registers->g[REG_RAX] = 0;
    registers->g[REG_EFL] &= ~FLAGS_CLEARED;
    context_vector_initial(thread);
}
