/*
 * Forwarding a call without leaving the program's FS base and vector registers: on kernels that do not let programs set
 * the FS base themselves, setting it twice costs as much as the exchange. Not for calls that concern the thread itself,
 * nor for what is to be done when the answer keeps us waiting or says to come home: monitor/active.c goes on from
 * there. General registers only, no TLS, no libc.
 */
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "monitor/active.h"
#include "monitor/buffers.h"
#include "monitor/calls.h"
#include "monitor/clock_private.h"
#include "monitor/thread.h"
#include "runtime/channel.h"
#include "syscall/entry.h"
#include "syscall/table.h"

static _Atomic uint64_t forwarded_count;
static _Atomic uint64_t forwarded_latency[WIRE_LATENCY_BUCKETS];

void call_count_forwarded(uint64_t nanoseconds)
{
    unsigned bucket = 63u - (unsigned)__builtin_clzl(nanoseconds | 1);
    if (bucket >= WIRE_LATENCY_BUCKETS)
        bucket = WIRE_LATENCY_BUCKETS - 1;
    atomic_fetch_add_explicit(&forwarded_latency[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&forwarded_count, 1, memory_order_relaxed);
}

uint64_t call_forwarded(uint64_t latency[WIRE_LATENCY_BUCKETS])
{
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        latency[i] = atomic_load_explicit(&forwarded_latency[i], memory_order_relaxed);
    return atomic_load(&forwarded_count);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_state.clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The session's time and processor, for those who do not ask the vDSO. */
static struct clock_answer clock_answer(uint64_t number, const uint64_t *g)
{
    static const struct clock_answer forward = {0, 1};
    switch (number) {
    case SYS_clock_gettime:
        return clock_answer_gettime((long)g[REG_RDI], (struct timespec *)g[REG_RSI]);
    case SYS_gettimeofday:
        return clock_answer_timeofday((void *)g[REG_RDI], (void *)g[REG_RSI]);
    case SYS_time:
        return clock_answer_time((long *)g[REG_RDI]);
    case SYS_getcpu:
        return clock_answer_getcpu((unsigned *)g[REG_RDI], (unsigned *)g[REG_RSI]);
    default:
        return forward;
    }
}

bool active_answers_itself(struct thread *thread, struct registers *registers)
{
    uint64_t *result = &registers->g[REG_RAX], number = (uint32_t)*result;
    if (number == SYS_getpid || number == SYS_gettid) {
        *result = (uint64_t)(number == SYS_getpid ? thread->pid : thread->program_tid);
    } else {
        struct clock_answer answer = clock_answer(number, registers->g);
        if (answer.call)
            return false;
        *result = (uint64_t)answer.value;
    }
    thread->calls_local++;
    return true;
}

bool active_concerns_thread(uint64_t number)
{
    return number == SYS_exit || (number < CALL_COUNT && call_table[number].place == CALL_THREAD);
}

void active_call_fill(struct wire_call *call, const struct registers *registers)
{
    const uint64_t *g = registers->g;
    call->number = (uint32_t)g[REG_RAX]; /* as the kernel takes it */
    call->arguments[0] = g[REG_RDI];
    call->arguments[1] = g[REG_RSI];
    call->arguments[2] = g[REG_RDX];
    call->arguments[3] = g[REG_R10];
    call->arguments[4] = g[REG_R8];
    call->arguments[5] = g[REG_R9];
    call->instruction = g[REG_RIP];
}

long active_call_quick(struct registers *registers)
{
    struct thread *thread = thread_self();
    if (active_answers_itself(thread, registers))
        return 0;
    if (active_concerns_thread((uint32_t)registers->g[REG_RAX]))
        return 1;
    struct wire_call call;
    active_call_fill(&call, registers);
    if (buffers_may_go(call.number, call.arguments))
        return 1;
    thread->forward_ns = now_ns();
    thread->forward = (int)channel_quick_exchange(thread->channel, WIRE_CALL, &call, sizeof call, WIRE_CALL_RESULT,
                                                  &thread->forward_result, sizeof thread->forward_result);
    if (thread->forward != CHANNEL_QUICK_ANSWERED || thread->forward_result.flags != 0)
        return 1;
    call_count_forwarded(now_ns() - thread->forward_ns);
    thread->forward = CHANNEL_QUICK_REFUSED;
    registers->g[REG_RAX] = (uint64_t)thread->forward_result.value;
    return 0;
}
