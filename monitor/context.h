/*
 * The whole register context of a thread: taken, carried, put back.
 * Not for when to do that.
 */
#ifndef MONITOR_CONTEXT_H
#define MONITOR_CONTEXT_H

#include "monitor/signal.h"
#include "monitor/thread.h"
#include "runtime/pager.h"
#include "runtime/wire.h"

#define CONTEXT_BYTES_MAX (sizeof(struct wire_context) + WIRE_XSAVE_BYTES_MAX)

/* Fills thread->context from the registers of a call and the vector state saved at entry. */
void context_capture(struct thread *thread, const struct registers *registers);
/* The same from a signal frame. */
void context_capture_frame(struct thread *thread, const struct frame_ucontext *frame);
/* The XSAVE area that follows a context. */
static inline uint8_t *context_xsave(const struct wire_context *context)
{
    return (uint8_t *)(uintptr_t)(context + 1);
}
/* A received context of `bytes`: true when its sizes and its vector state are such that it can be put back. */
bool context_valid(const struct wire_context *context, size_t bytes);

/* Makes `context` the vector state and the registers of `thread` as if it were in a call. */
void context_to_registers(struct thread *thread, const struct wire_context *context, struct registers *registers);
/* The program goes on with the vector state that a new program has. */
void context_vector_initial(struct thread *thread);
/* Asks the pager for the pages that a context which has just arrived will touch first. */
void context_want(const struct wire_context *context);
/* thread->context has come from another node. */
void context_arrived(struct thread *thread);
/* thread->context is about to leave: addresses of the pages that it will need, for pager_move, and their number. Notes
 * in the context which they are, for context_arrived. */
unsigned context_carry(struct thread *thread, uint64_t addresses[PAGER_WANT_MAX]);
/*
 * The thread goes on in the program with exactly this context and its mask. Pending signals are delivered first.
 * All signals must be blocked. On the thread's monitor stack or its alternate stack.
 */
_Noreturn void context_resume(struct thread *thread, const struct wire_context *context);

/* Puts the markers of the kernel's signal frames into a standard XSAVE area of `bytes`, which has 4 bytes behind it. */
void context_frame_markers(uint8_t *area, uint32_t bytes);

#endif
