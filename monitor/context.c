/*
 * Register contexts. The way back is rt_sigreturn with a frame of ours: the kernel restores every register at once,
 * RCX, R11 and the flags included, and the signal mask with them.
 */
#include "monitor/context.h"

#include <string.h>

#include "monitor/calls.h"
#include "monitor/fatal.h"
#include "runtime/pager.h"

#define SEGMENTS             0x2b000000000033ul /* CS 0x33, SS 0x2b */
#define UC_FP_XSTATE         1u
#define UC_SIGCONTEXT_SS     2u
#define UC_STRICT_RESTORE_SS 4u

#define XSTATE_HEADER_OFFSET 512

/* XSAVE does not write the compaction word or the reserved bytes of the header. */
static void area_clear(uint8_t *area)
{
    memset(area, 0, XSTATE_HEADER_OFFSET + 64);
}

void context_capture(struct thread *thread, const struct registers *registers)
{
    struct wire_context *context = thread->context;
    memset(context, 0, sizeof *context);
    memcpy(context->gregs, registers->g, sizeof context->gregs);
    context->fs_base = thread->app_fs;
    context->thread = thread->number;
    context->tid = thread->tid;
    context->pid = thread->pid;
    context->call = WIRE_NO_CALL;
    context->xsave_bytes = thread_xsave_bytes();
    /* The area behind the context has to be aligned; thread->frame is, and is free until context_resume. */
    area_clear(thread->frame);
    xstate_convert(thread->xsave, thread->frame, thread->xfeatures);
    memcpy(context_xsave(context), thread->frame, context->xsave_bytes);
}

void context_capture_frame(struct thread *thread, const struct frame_ucontext *frame)
{
    struct wire_context *context = thread->context;
    memset(context, 0, sizeof *context);
    memcpy(context->gregs, frame->g, sizeof context->gregs);
    context->fs_base = thread->app_fs;
    context->thread = thread->number;
    context->tid = thread->tid;
    context->pid = thread->pid;
    context->call = WIRE_NO_CALL;
    const uint8_t *area = (const uint8_t *)frame->fpstate;
    if (!area)
        return;
    uint32_t software[5];
    memcpy(software, area + FP_SW_OFFSET, sizeof software);
    uint32_t bytes = software[0] == FP_MAGIC1 ? software[4] : 512;
    if (bytes > WIRE_XSAVE_BYTES_MAX)
        bytes = 512;
    context->xsave_bytes = bytes;
    memcpy(context_xsave(context), area, bytes);
}

bool context_valid(const struct wire_context *context, size_t bytes)
{
    if (bytes < sizeof *context || bytes != sizeof *context + context->xsave_bytes)
        return false;
    if (context->xsave_bytes == 0)
        return true;
    if (context->xsave_bytes == 512)
        return true;
    if (context->xsave_bytes < XSTATE_HEADER_OFFSET + 64 || context->xsave_bytes > thread_xsave_bytes())
        return false;
    const uint64_t *header = (const uint64_t *)(const void *)(context_xsave(context) + XSTATE_HEADER_OFFSET);
    return (header[0] & ~thread_xfeatures()) == 0 && header[1] == 0;
}

void context_vector_initial(struct thread *thread)
{
    const uint16_t x87_control = 0x037f;
    const uint32_t mxcsr = 0x1f80;
    area_clear(thread->xsave);
    memcpy(thread->xsave, &x87_control, sizeof x87_control);
    memcpy((uint8_t *)thread->xsave + 24, &mxcsr, sizeof mxcsr);
}

void context_to_registers(struct thread *thread, const struct wire_context *context, struct registers *registers)
{
    memcpy(registers->g, context->gregs, sizeof registers->g);
    thread->app_fs = context->fs_base;
    uint8_t *area = thread->xsave;
    context_vector_initial(thread);
    if (context->xsave_bytes == 0)
        return;
    memcpy(area, context_xsave(context), context->xsave_bytes);
    uint64_t header[8] = {0};
    if (context->xsave_bytes == 512)
        header[0] = 3;
    else
        memcpy(header, area + XSTATE_HEADER_OFFSET, 8);
    memcpy(area + XSTATE_HEADER_OFFSET, header, sizeof header);
}

void context_frame_markers(uint8_t *area, uint32_t bytes)
{
    uint64_t features = thread_xfeatures();
    uint32_t software[12] = {FP_MAGIC1, bytes + 4, (uint32_t)features, (uint32_t)(features >> 32), bytes};
    memcpy(area + FP_SW_OFFSET, software, sizeof software);
    uint32_t magic2 = FP_MAGIC2;
    memcpy(area + bytes, &magic2, sizeof magic2);
}

_Noreturn void context_resume(struct thread *thread, const struct wire_context *context)
{
    thread->app_fs = context->fs_base;
    while (atomic_load(&thread->pending)) {
        /* A signal waits: its handler comes first. It needs the context where a call would have left it. */
        struct registers *registers = (struct registers *)(thread->monitor_rsp - REGISTERS_BYTES);
        struct registers copy;
        context_to_registers(thread, context, &copy);
        if (call_pending_context(thread, &copy)) {
            *registers = copy;
            syscall_leave(registers);
        }
    }
    uint8_t *base = thread->frame;
    struct frame_ucontext *frame = (struct frame_ucontext *)(base + 64);
    uint8_t *area = base + 512;
    memset(base, 0, 512);
    frame->flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    frame->stack.ss_sp = (uint8_t *)thread - ALTERNATE_STACK_BYTES;
    frame->stack.ss_size = ALTERNATE_STACK_BYTES;
    memcpy(frame->g, context->gregs, sizeof context->gregs);
    frame->g[REG_CSGSFS] = SEGMENTS;
    frame->sigmask = thread->mask & ~SIGNALS_OURS;
    if (context->xsave_bytes) {
        memcpy(area, context_xsave(context), context->xsave_bytes);
        memset(area + FP_SW_OFFSET, 0, 48);
        if (context->xsave_bytes > 512)
            context_frame_markers(area, context->xsave_bytes);
        frame->fpstate = (uint64_t)area;
        frame->flags |= UC_FP_XSTATE;
    }
    atomic_store(&thread->activity, THREAD_RUNS_HERE);
    context_enter(frame, thread->app_fs);
}

/*
 * The stack, the thread's own data, and whatever the registers that survive a call point to. One exchange brings them
 * all while the thread is being set up; the thread alone would wait for one after the other.
 */
void context_want(const struct wire_context *context)
{
    static const uint8_t pointers[] = {REG_RBP, REG_RBX, REG_R12, REG_R13, REG_R14, REG_R15};
    uint64_t addresses[PAGER_WANT_MAX], stack = (uint64_t)context->gregs[REG_RSP];
    unsigned count = 0;
    addresses[count++] = stack;
    addresses[count++] = stack + PAGE_BYTES / 2; /* the caller's frames */
    const uint64_t writes = (1u << count) - 1;
    addresses[count++] = context->fs_base;
    for (unsigned i = 0; i < sizeof pointers; i++) {
        addresses[count] = (uint64_t)context->gregs[pointers[i]];
        bool known = false;
        for (unsigned j = 0; j < count; j++)
            known |= addresses[j] >> PAGE_SHIFT == addresses[count] >> PAGE_SHIFT;
        count += !known;
    }
    pager_want(addresses, count, writes);
}

void context_arrived(struct thread *thread)
{
    thread->carried = thread->context->carried;
    thread->arrived = pager_recent_now();
}

/*
 * Besides the stack and the thread's own data, what it faulted on here, and what came with it: of that one page in
 * turn is left out, so that what it no longer uses stays behind; if it does use it, it faults on it.
 */
unsigned context_carry(struct thread *thread, uint64_t addresses[PAGER_WANT_MAX])
{
    struct wire_context *context = thread->context;
    uint64_t stack = (uint64_t)context->gregs[REG_RSP], left_out = thread->carried.moves++ % WIRE_CARRIED_MAX;
    addresses[0] = stack;
    addresses[1] = stack + PAGE_BYTES / 2;
    addresses[2] = context->fs_base;
    uint64_t *carried = addresses + 3;
    _Static_assert(3 + WIRE_CARRIED_MAX <= PAGER_WANT_MAX, "one job");
    unsigned count = pager_recent(thread->tid, thread->arrived, carried, WIRE_CARRIED_MAX);
    for (unsigned i = 0; i < WIRE_CARRIED_MAX && count < WIRE_CARRIED_MAX; i++) {
        uint64_t page = thread->carried.pages[i];
        bool known = i == left_out || page == 0;
        for (unsigned j = 0; j < count; j++)
            known |= carried[j] == page;
        if (!known)
            carried[count++] = page;
    }
    context->carried = (struct wire_carried){.moves = thread->carried.moves};
    memcpy(context->carried.pages, carried, count * sizeof *carried);
    return 3 + count;
}
