/*
 * 32-bit calls. The instruction changes no register but RAX, so the thread's state is captured whole and resumed, as it
 * is for a thread that moves, rather than left by the path of SYSCALL.
 */
#include "monitor/calls_32.h"

#include <errno.h>
#include <stdatomic.h>

#include "monitor/calls.h"
#include "monitor/context.h"
#include "monitor/fatal.h"
#include "monitor/shadow.h"
#include "monitor/signal.h"
#include "syscall/table_32.h"

/* On the monitor's stack, signals blocked; the context stands behind the instruction. */
static void carry_out(void *argument)
{
    struct thread *thread = argument;
    struct registers *registers = (struct registers *)(thread->monitor_rsp - REGISTERS_BYTES);
    context_to_registers(thread, thread->context, registers);
    const uint64_t *g = registers->g;
    uint64_t asked = (uint32_t)g[REG_RAX], number = asked;
    uint64_t arguments[6] = {g[REG_RBX], g[REG_RCX], g[REG_RDX], g[REG_RSI], g[REG_RDI], g[REG_RBP]};
    long result = -ENOSYS;
    thread->calls_local++;
    thread->restart = 0;
    if (call_32_translate(&number, arguments)) {
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
        result = call_cut(thread, number, call_handle(thread, number, arguments, registers));
        thread_block_signals();
    } else {
        span_verbose("call %lu by int 0x80 is refused: it has no counterpart among the 64-bit calls", asked);
    }
    registers->g[REG_RAX] = (uint64_t)result;
    if (RESULT_IS_RESTART(result)) {
        thread->restart = result;
        thread->restart_call = asked;
        if (!(atomic_load(&thread->pending) & PENDING_SIGNAL) || !signal_deliver(thread, registers))
            signal_restart(thread, registers);
        thread_block_signals();
    }
    context_capture(thread, registers);
    shadow_resume(thread);
}

void call_32_caught(struct thread *thread, struct frame_ucontext *context)
{
    context_capture_frame(thread, context);
    context->g[REG_RIP] = (uint64_t)monitor_enter;
    context->g[REG_RDI] = (uint64_t)thread;
    context->g[REG_RSI] = (uint64_t)carry_out;
    context->g[REG_RSP] = thread->monitor_rsp - 512;
    context->sigmask = ~SIGNALS_SYNCHRONOUS;
}
