/*
 * Shadows: serving the active half's calls and questions, and moving threads between nodes.
 *
 * The shadow runs the same handlers as a local thread would, on the thread's own kernel thread, so that tid,
 * credentials, signal mask and blocking are those of the thread. Signals stay open while it serves and while it polls;
 * only before it sleeps are they blocked, looked at once more and opened by ppoll, so that none is slept over.
 */
#include "monitor/shadow.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "monitor/buffers.h"
#include "monitor/calls.h"
#include "monitor/clock.h"
#include "monitor/context.h"
#include "monitor/fatal.h"
#include "monitor/patching.h"
#include "monitor/process.h"
#include "monitor/sandbox.h"
#include "monitor/session.h"
#include "monitor/space.h"
#include "monitor/view.h"
#include "runtime/channel.h"
#include "runtime/pager.h"
#include "syscall/table.h"

#define MESSAGE_BYTES_MAX                                                                                              \
    (sizeof(struct wire_call) + sizeof(struct wire_buffers) +                                                          \
     (WIRE_BUFFERS_BYTES > CONTEXT_BYTES_MAX ? WIRE_BUFFERS_BYTES : CONTEXT_BYTES_MAX))
#define ASK_AGAIN_MS      10
#define AFFINITY_AWAIT_NS 200000000u
#define AFFINITY_AGAIN_US 500

static _Atomic uint64_t migrations;

void shadow_counters(uint64_t *out)
{
    *out = atomic_load(&migrations);
}

static void message_send(struct thread *thread, enum wire_type type, const void *payload, size_t bytes)
{
    struct iovec part = {(void *)(uintptr_t)payload, bytes};
    int result = channel_send(thread->channel, type, &part, 1);
    if (result < 0)
        session_lost(thread->node, "%s while thread %d ran there", strerror(-result), thread->tid);
}

/* Waits for the next frame. Signals that arrive are queued in the thread and make the active half come home. */
static void frame_wait(struct thread *thread, struct wire_frame *frame)
{
    bool asked = false;
    int ready = channel_spin(thread->channel);
    while (ready == 0 || ready == -EINTR) {
        thread_block_signals();
        if (atomic_load(&thread->pending)) {
            /* It travels on another connection than the thread does and may be there first: asked until it comes. */
            asked = true;
            pager_interrupt(thread->node, thread->number);
        }
        uint64_t open = asked ? ~SIGNALS_SYNCHRONOUS : thread->mask & ~SIGNALS_OURS;
        sigset_t mask;
        memset(&mask, 0, sizeof mask);
        memcpy(&mask, &open, sizeof open);
        ready = channel_wait(thread->channel, &mask, asked ? ASK_AGAIN_MS : -1);
        if (!atomic_load(&thread->pending))
            thread_set_mask(thread->mask & ~SIGNALS_OURS);
    }
    if (ready == 1)
        ready = channel_receive(thread->channel, frame, thread->context, MESSAGE_BYTES_MAX);
    if (ready < 0)
        session_lost(thread->node, "%s while thread %d ran there",
                     ready == -EPIPE ? "the connection ended" : strerror(-ready), thread->tid);
}

/* Carries out a call with these arguments, which may be other than those that came. */
static struct wire_result call_carry_out(struct thread *thread, const struct wire_call *call,
                                         const uint64_t arguments[6])
{
    if (call->number < CALL_COUNT && call_table[call->number].place == CALL_THREAD)
        session_lost(thread->node, "it forwards call %lu, which it must not", call->number);
    patching_forwarded(call->instruction);
    atomic_store(&thread->activity, THREAD_IN_CALL);
    struct wire_result result = {0};
    result.value = call_cut(thread, call->number, call_handle(thread, call->number, arguments, NULL));
    if (RESULT_IS_RESTART(result.value) || atomic_load(&thread->pending) || atomic_load(&thread->target) >= 0)
        result.flags |= WIRE_RESULT_COME_HOME;
    atomic_store(&thread->activity, THREAD_SHADOWS);
    return result;
}

static void serve_call(struct thread *thread)
{
    struct wire_call call;
    memcpy(&call, thread->context, sizeof call);
    struct wire_result result = call_carry_out(thread, &call, call.arguments);
    message_send(thread, WIRE_CALL_RESULT, &result, sizeof result);
}

/* The same for a call that has brought what its arguments point to. */
static void serve_call_buffers(struct thread *thread, size_t bytes)
{
    uint8_t memory[BUFFERS_MEMORY_BYTES] __attribute__((aligned(PAGE_BYTES)));
    struct {
        struct wire_result result;
        struct wire_buffers written;
        uint8_t contents[WIRE_BUFFERS_BYTES];
    } answer;
    struct wire_call call;
    struct wire_buffers sizes;
    const uint8_t *payload = (const uint8_t *)thread->context;
    const size_t before = sizeof call + sizeof sizes;
    if (sandbox_judges(thread)) { /* the program's filters are to see the arguments that it gave */
        serve_call(thread);
        return;
    }
    memcpy(&call, payload, sizeof call);
    memcpy(&sizes, payload + sizeof call, sizeof sizes);
    uint64_t arguments[BUFFERS_ARGUMENTS] = {0};
    memcpy(arguments, call.arguments, sizeof call.arguments);
    if (!buffers_open(call.number, &sizes, payload + before, bytes - before, arguments, memory))
        session_lost(thread->node, "it sent call %lu with malformed buffers", call.number);
    answer.result = call_carry_out(thread, &call, arguments);
    size_t used = buffers_close(call.number, &sizes, arguments, answer.result.value, &answer.written, answer.contents);
    message_send(thread, WIRE_CALL_RESULT_BUFFERS, &answer, offsetof(typeof(answer), contents) + used);
}

/* What the peer cannot store: its memory is not what it was when the call began. */
static void serve_store(struct thread *thread, size_t bytes)
{
    struct wire_store store;
    struct wire_result result = {0};
    memcpy(&store, thread->context, sizeof store);
    bytes -= sizeof store;
    if (store.address < SPAN_ZONE_START || store.address >= SPAN_ZONE_END || bytes > SPAN_ZONE_END - store.address ||
        user_copy((void *)store.address, (const uint8_t *)thread->context + sizeof store, bytes) != 0)
        result.value = -EFAULT;
    message_send(thread, WIRE_CALL_RESULT, &result, sizeof result);
}

static void serve_mapping(struct thread *thread)
{
    struct wire_fault fault;
    struct wire_mapping mapping;
    memcpy(&fault, thread->context, sizeof fault);
    space_peer_lookup(thread->node, &fault, &mapping);
    message_send(thread, WIRE_MAPPING, &mapping, sizeof mapping);
}

static void channel_back(struct thread *thread)
{
    session_channel_give(thread->node, thread->channel);
    thread->channel = NULL;
}

/* The active half came home for a call on the thread itself: carries it out, and goes back when nothing keeps it here.
 */
static void call_at_home(struct thread *thread, const struct wire_context *context)
{
    unsigned peer = thread->node;
    struct registers *registers = (struct registers *)(thread->monitor_rsp - REGISTERS_BYTES);
    context_to_registers(thread, context, registers);
    registers->g[REG_RAX] = context->call;
    thread->node = HOME_NODE;
    if (context->call == SYS_rt_sigreturn)
        session_thread_moved(peer, HOME_NODE); /* it does not come back here, and stays at home */
    call_set_home(thread);
    atomic_store(&thread->activity, THREAD_IN_CALL);
    thread_set_mask(thread->mask & ~SIGNALS_OURS);
    call_slow(registers);
    thread_block_signals();
    uint64_t nodes = view_affinity_nodes(thread->tid) & session_nodes_usable();
    bool elsewhere = nodes != 0 && !(nodes >> peer & 1); /* it has been bound meanwhile */
    if (elsewhere && atomic_load(&thread->target) < 0)
        atomic_store(&thread->target, __builtin_ctzll(nodes));
    if (!session_distributed() || atomic_load(&thread->pending) || atomic_load(&thread->target) >= 0 ||
        thread->restart) {
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
        session_thread_moved(peer, HOME_NODE);
        if (atomic_load(&thread->target) > (int)HOME_NODE)
            atomic_fetch_or(&thread->pending, PENDING_MOVE);
        else
            atomic_store(&thread->target, -1); /* it is there */
        syscall_leave(registers);
    }
    thread->node = peer;
    context_capture(thread, registers);
}

/* The active half is home. Returns when it goes to a peer (again): thread->node and thread->context say where and what.
 */
static void came_home(struct thread *thread, size_t bytes)
{
    struct wire_context *context = thread->context;
    if (!context_valid(context, bytes))
        span_fatal("node %u sent a malformed context for thread %d", thread->node, thread->tid);
    context_arrived(thread);
    thread_block_signals();
    channel_back(thread);
    atomic_fetch_and(&thread->pending, ~PENDING_MOVE);
    int target = atomic_exchange(&thread->target, -1);
    unsigned peer = thread->node;
    atomic_fetch_add(&migrations, 1);
    if (context->reason == WIRE_REASON_CALL) {
        if (target >= 0)
            atomic_store(&thread->target, target);
        call_at_home(thread, context);
        return;
    }
    bool stays = context->reason == WIRE_REASON_FAULT || target == HOME_NODE || context->call != WIRE_NO_CALL ||
                 atomic_load(&thread->pending);
    if (!stays) {
        if (target > 0) {
            session_thread_moved(peer, (unsigned)target);
            thread->node = (unsigned)target;
        }
        return;
    }
    session_thread_moved(peer, HOME_NODE);
    thread->node = HOME_NODE;
    call_set_home(thread);
    context_want(context);
    if (context->call == WIRE_NO_CALL)
        context_resume(thread, context);
    /* A call was cut short at home; its result stands in RAX as RESULT_RESTART_*. */
    struct registers *registers = (struct registers *)(thread->monitor_rsp - REGISTERS_BYTES);
    context_to_registers(thread, context, registers);
    thread->restart = (long)registers->g[REG_RAX];
    thread->restart_call = context->call;
    if (!(atomic_load(&thread->pending) & PENDING_SIGNAL) || !signal_deliver(thread, registers))
        signal_restart(thread, registers);
    if (target > (int)HOME_NODE) {
        atomic_store(&thread->target, target);
        atomic_fetch_or(&thread->pending, PENDING_MOVE);
    } else if (target < 0) {
        shadow_follow_affinity(
            thread->tid); /* it had arrived where it may run, and what made it go there cut the call */
    }
    thread_set_mask(thread->mask & ~SIGNALS_OURS);
    syscall_leave(registers);
}

/* The node takes no more threads, or there is no way to tell it: the program goes on at home. */
static _Noreturn void stay_home(struct thread *thread)
{
    session_avoid(thread->node);
    session_thread_moved(thread->node, HOME_NODE);
    thread->node = HOME_NODE;
    call_set_home(thread);
    context_resume(thread, thread->context);
}

static void start_send(struct thread *thread)
{
    thread->channel = session_channel_take(thread->node);
    if (!thread->channel)
        stay_home(thread);
    atomic_fetch_add(&migrations, 1);
    atomic_store(&thread->activity, THREAD_SHADOWS);
    uint64_t addresses[PAGER_WANT_MAX];
    unsigned count = context_carry(thread, addresses);
    thread->context->processors = thread->processors_sent = view_affinity_processors(thread->tid, thread->node);
    message_send(thread, WIRE_THREAD_START, thread->context, sizeof *thread->context + thread->context->xsave_bytes);
    pager_move(addresses, count, thread->node); /* while the other side wakes up */
    if (!atomic_load(&thread->pending))
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
}

/* The context is what was sent: it has not run there. */
static _Noreturn void refused(struct thread *thread)
{
    thread_block_signals();
    channel_close(thread->channel);
    thread->channel = NULL;
    span_verbose("node %u can make no thread for thread %d: it stays on this node", thread->node, thread->tid);
    stay_home(thread);
}

_Noreturn void shadow_run(struct thread *thread, const struct wire_context *context)
{
    if (context != thread->context)
        memcpy(thread->context, context, sizeof *context + context->xsave_bytes);
    start_send(thread);
    for (;;) {
        struct wire_frame frame;
        frame_wait(thread, &frame);
        if (frame.type == WIRE_CALL && frame.bytes == sizeof(struct wire_call)) {
            serve_call(thread);
        } else if (frame.type == WIRE_CALL_BUFFERS &&
                   frame.bytes >= sizeof(struct wire_call) + sizeof(struct wire_buffers)) {
            serve_call_buffers(thread, frame.bytes);
        } else if (frame.type == WIRE_STORE && frame.bytes >= sizeof(struct wire_store)) {
            serve_store(thread, frame.bytes);
        } else if (frame.type == WIRE_MAPPING_REQUEST && frame.bytes == sizeof(struct wire_fault)) {
            serve_mapping(thread);
        } else if (frame.type == WIRE_THREAD_EXIT && frame.bytes == sizeof(struct wire_call)) {
            struct wire_call call;
            memcpy(&call, thread->context, sizeof call);
            thread_block_signals();
            channel_back(thread);
            process_exit_thread(thread, (int)call.arguments[0]);
        } else if (frame.type == WIRE_THREAD_REFUSED && frame.bytes == 0) {
            refused(thread);
        } else if (frame.type == WIRE_THREAD_RETURN) {
            came_home(thread, frame.bytes);
            start_send(thread);
        } else {
            span_fatal("node %u sent a malformed message (type %u, %u bytes) for thread %d", thread->node, frame.type,
                       frame.bytes, thread->tid);
        }
    }
}

/* ---- leaving home --------------------------------------------------------------------------------------------------
 */

static void depart(void *argument)
{
    struct thread *thread = argument;
    thread_block_signals();
    int target = atomic_exchange(&thread->target, -1);
    if (target > 0 && session_use((unsigned)target)) {
        session_thread_moved(HOME_NODE, (unsigned)target);
        thread->node = (unsigned)target;
        shadow_run(thread, thread->context);
    }
    context_resume(thread, thread->context);
}

void shadow_interrupted(struct thread *thread, struct frame_ucontext *context)
{
    if (atomic_load(&thread->target) <= 0) {
        atomic_store(&thread->target, -1);
        return;
    }
    context_capture_frame(thread, context);
    context->g[REG_RIP] = (uint64_t)monitor_enter;
    context->g[REG_RDI] = (uint64_t)thread;
    context->g[REG_RSI] = (uint64_t)depart;
    context->g[REG_RSP] = thread->monitor_rsp - 512;
    context->sigmask = ~SIGNALS_SYNCHRONOUS;
}

void shadow_depart_call(struct thread *thread, const struct registers *registers)
{
    atomic_fetch_and(&thread->pending, ~PENDING_MOVE);
    if (atomic_load(&thread->target) <= 0) {
        atomic_store(&thread->target, -1);
        return;
    }
    thread_block_signals();
    context_capture(thread, registers);
    stack_run((void *)(thread->monitor_rsp - 512), depart, thread);
}

/* A thread that reads the clock in the kernel's vDSO cannot be taken there: it is asked again. */
#define MIGRATE_TRIES_MAX 400
#define MIGRATE_AGAIN_US  500

struct migrate_request {
    pid_t tid;
    unsigned node;
    bool asked;
    int result; /* -EAGAIN: it has been asked and has not gone yet */
};

static bool migrate_one(struct thread *thread, void *argument)
{
    struct migrate_request *request = argument;
    if (thread->tid != request->tid)
        return true;
    unsigned at = thread->node;
    request->result = 0;
    if (at == request->node || (request->asked && atomic_load(&thread->target) < 0))
        return false;
    request->result = -EAGAIN;
    request->asked = true;
    atomic_store(&thread->target, (int)request->node);
    if (at == HOME_NODE)
        signal_interrupt(thread->tid);
    else
        pager_interrupt(at, thread->number);
    return false;
}

int shadow_migrate(pid_t tid, unsigned node)
{
    struct migrate_request request = {.tid = tid, .node = node};
    if (node >= session_node_count())
        return -EINVAL;
    if (node != HOME_NODE && !session_use(node))
        return -ENETUNREACH;
    for (int i = 0; i < MIGRATE_TRIES_MAX; i++) {
        request.result = request.asked ? 0 : -ESRCH; /* it may have ended meanwhile */
        thread_each(migrate_one, &request);
        if (request.result != -EAGAIN)
            return request.result;
        usleep(MIGRATE_AGAIN_US);
    }
    return 0; /* it goes at its next call */
}

static bool follow_one(struct thread *thread, void *argument)
{
    pid_t tid = *(pid_t *)argument;
    if (thread->tid != tid)
        return true;
    if (session_alone()) {
        view_affinity_bind(tid);
        return false;
    }
    uint64_t here = view_affinity_processors(tid, HOME_NODE);
    if (thread->processors != here) {
        thread->processors = here;
        clock_bind(tid, here);
    }
    uint64_t nodes = view_affinity_nodes(tid) & session_nodes_usable();
    bool stays = nodes == 0 || nodes >> thread->node & 1;
    if (stays && (thread->node == HOME_NODE || view_affinity_processors(tid, thread->node) == thread->processors_sent))
        return false;
    atomic_store(&thread->target,
                 stays ? (int)thread->node : __builtin_ctzll(nodes)); /* perhaps home, and back again */
    atomic_fetch_or(&thread->pending, PENDING_MOVE);
    if (thread->node != HOME_NODE)
        pager_interrupt(thread->node, thread->number);
    else if (thread != thread_self())
        signal_interrupt(tid);
    return false;
}

void shadow_follow_affinity(pid_t tid)
{
    if (session_shared())
        thread_each(follow_one, &tid);
}

struct settled_request {
    pid_t tid;
    bool settled;
};

static bool settled_one(struct thread *thread, void *argument)
{
    struct settled_request *request = argument;
    if (thread->tid != request->tid)
        return true;
    uint64_t nodes = view_affinity_nodes(thread->tid) & session_nodes_usable();
    unsigned node = thread->node;
    /* In a call it runs nothing of the program's, and when the call ends it goes where it has to be. */
    bool in_call =
        atomic_load(&thread->awaits) || (node != HOME_NODE && atomic_load(&thread->activity) == THREAD_IN_CALL);
    request->settled =
        in_call || (atomic_load(&thread->target) < 0 && (nodes == 0 || nodes >> node & 1) &&
                    (node == HOME_NODE || view_affinity_processors(thread->tid, node) == thread->processors_sent));
    return false;
}

void shadow_await_affinity(pid_t tid)
{
    struct settled_request request = {.tid = tid};
    atomic_store(&thread_self()->awaits, true); /* somebody may bind this one at the same time */
    for (uint64_t start_ns = clock_now_ns();; usleep(AFFINITY_AGAIN_US)) {
        request.settled = true; /* it may have ended, or be another process's */
        if (session_distributed())
            thread_each(settled_one, &request);
        if (request.settled || atomic_load(&thread_self()->pending) || clock_now_ns() - start_ns > AFFINITY_AWAIT_NS)
            break;
    }
    atomic_store(&thread_self()->awaits, false);
}

_Noreturn void shadow_resume(struct thread *thread)
{
    shadow_follow_affinity(thread->tid);
    if (atomic_load(&thread->pending) == PENDING_MOVE) {
        atomic_fetch_and(&thread->pending, ~PENDING_MOVE);
        stack_run((void *)(thread->monitor_rsp - 512), depart, thread);
    }
    context_resume(thread, thread->context);
}
