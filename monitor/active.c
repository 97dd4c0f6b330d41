/*
 * Active halves on a peer: threads that wait for work on their channel, run the program, and forward its calls.
 *
 * A peer carries out nothing for the program but what touches no shared state. Memory it does not know is asked for at
 * home; whatever concerns the thread itself (signals, faults, fork, exec) takes the thread home with its registers.
 */
#include "monitor/active.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "monitor/buffers.h"
#include "monitor/calls.h"
#include "monitor/clock.h"
#include "monitor/context.h"
#include "monitor/fatal.h"
#include "monitor/idle.h"
#include "monitor/mirror.h"
#include "monitor/peer.h"
#include "monitor/peer_filter.h"
#include "monitor/process.h"
#include "monitor/report.h"
#include "monitor/suspend.h"
#include "runtime/channel.h"
#include "runtime/pager.h"
#include "syscall/table.h"

#define REFUSE_MS 5000

static bool is_peer;
static _Atomic uint64_t threads_run, migrations_in, migrations_out;

bool active_is_peer(void)
{
    return is_peer;
}

static _Noreturn void peer_end(int status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

/* Silent when home is gone, and with it the program. */
static _Noreturn void peer_end_error(const char *what, int error)
{
    if (error == -EPIPE || error == -ECONNRESET)
        peer_end(0);
    span_warn("peer: %s: %s", what, strerror(-error));
    peer_end(SPAN_EXIT_FAILURE);
}

static void parts_send(struct thread *thread, enum wire_type type, const struct iovec *parts, int count)
{
    int result = channel_send(thread->channel, type, parts, count);
    if (result < 0)
        peer_end_error("cannot talk to home", result);
}

static void message_send(struct thread *thread, enum wire_type type, const void *payload, size_t bytes)
{
    struct iovec part = {(void *)(uintptr_t)payload, bytes};
    parts_send(thread, type, &part, 1);
}

static _Noreturn void malformed(const struct wire_frame *frame)
{
    span_warn("home sent a malformed message (type %u, %u bytes)", frame->type, frame->bytes);
    peer_end(SPAN_EXIT_FAILURE);
}

/* The answer to what was just sent, whatever it is: its bytes. */
static size_t answer_any(struct thread *thread, struct wire_frame *frame, void *payload, size_t capacity)
{
    int result = channel_receive(thread->channel, frame, payload, capacity);
    if (result < 0 && result != -EMSGSIZE && result != -EPROTO)
        peer_end_error("cannot listen to home", result);
    if (result < 0)
        malformed(frame);
    return frame->bytes;
}

/* The same of this type and size; anything else ends the session on this peer. */
static void answer_receive(struct thread *thread, enum wire_type type, void *payload, size_t bytes)
{
    struct wire_frame frame;
    if (answer_any(thread, &frame, payload, bytes) != bytes || frame.type != type)
        malformed(&frame);
}

static void loop(void *argument)
{
    struct thread *thread = argument;
    struct wire_frame frame;
    thread_block_signals();
    int result = channel_receive(thread->channel, &frame, thread->context, CONTEXT_BYTES_MAX);
    if (result < 0)
        peer_end_error("cannot listen to home", result);
    if (frame.type != WIRE_THREAD_START || !context_valid(thread->context, frame.bytes)) {
        span_warn("peer: home sent a malformed thread (type %u, %u bytes, vector state %u of %u)", frame.type,
                  frame.bytes, thread->context->xsave_bytes, thread_xsave_bytes());
        peer_end(SPAN_EXIT_FAILURE);
    }
    atomic_fetch_add(&threads_run, 1);
    atomic_fetch_add(&migrations_in, 1);
    thread->pid = thread->context->pid;
    thread->mask = 0;
    thread->app_fs = thread->context->fs_base;
    thread->program_tid = thread->context->tid;
    thread->restart = 0;
    atomic_store(&thread->pending, 0);
    __atomic_store_n(&thread->number, thread->context->thread, __ATOMIC_RELEASE);
    if (thread->processors != thread->context->processors) {
        thread->processors = thread->context->processors;
        clock_bind(thread->tid, thread->processors);
    }
    context_arrived(thread);
    context_want(thread->context);
    context_resume(thread, thread->context);
}

static _Noreturn void loop_again(struct thread *thread)
{
    stack_run((void *)(thread->monitor_rsp - 512), loop, thread);
}

/* thread->context goes home; this half waits for work again. On the monitor stack, signals blocked. */
static void go_home(void *argument)
{
    struct thread *thread = argument;
    thread_block_signals();
    __atomic_store_n(&thread->number, 0, __ATOMIC_RELEASE);
    atomic_fetch_add(&migrations_out, 1);
    thread->context->tid = thread->program_tid;
    uint64_t addresses[PAGER_WANT_MAX];
    unsigned count = context_carry(thread, addresses);
    bool stays = thread->context->reason != WIRE_REASON_CALL;
    message_send(thread, WIRE_THREAD_RETURN, thread->context, sizeof *thread->context + thread->context->xsave_bytes);
    if (stays)
        pager_move(addresses, count, HOME_NODE); /* while the other side wakes up */
    loop_again(thread);
}

static _Noreturn void registers_go_home(struct thread *thread, const struct registers *registers,
                                        enum wire_reason reason, uint64_t call)
{
    context_capture(thread, registers);
    thread->context->reason = reason;
    thread->context->call = call;
    go_home(thread);
    __builtin_unreachable();
}

_Noreturn void active_go_home(struct thread *thread, const struct registers *registers)
{
    registers_go_home(thread, registers, WIRE_REASON_ASKED, WIRE_NO_CALL);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* buffers_store: what this node does not have (any more), home may. */
static bool store_at_home(void *context, uint64_t address, const uint8_t *contents, size_t bytes)
{
    struct thread *thread = context;
    struct wire_store store = {address};
    struct wire_result result;
    struct iovec parts[] = {{&store, sizeof store}, {(void *)(uintptr_t)contents, bytes}};
    parts_send(thread, WIRE_STORE, parts, 2);
    answer_receive(thread, WIRE_CALL_RESULT, &result, sizeof result);
    return result.value == 0;
}

/* As the kernel does with a connection of which it cannot tell the address; here its number was there for a moment. */
static void accepted_close(struct thread *thread, const struct wire_call *accept, long fd)
{
    struct wire_call call = {.number = SYS_close, .arguments = {(uint64_t)fd}, .instruction = accept->instruction};
    struct wire_result result;
    message_send(thread, WIRE_CALL, &call, sizeof call);
    answer_receive(thread, WIRE_CALL_RESULT, &result, sizeof result);
}

/* The exchange for a call that takes along what its arguments point to. False: it has not been made. */
static bool forward_buffers(struct thread *thread, const struct wire_call *call)
{
    struct buffers buffers = {.number = call->number};
    struct wire_buffers written;
    struct wire_frame frame;
    struct wire_result *result = &thread->forward_result;
    enum { LEAST = sizeof *result + sizeof written };
    uint8_t contents[LEAST + WIRE_BUFFERS_BYTES] __attribute__((aligned(8)));
    memcpy(buffers.arguments, call->arguments, sizeof call->arguments);
    long bytes = buffers_gather(&buffers, contents);
    if (bytes < 0)
        return false;
    thread->forward_ns = now_ns();
    struct iovec parts[] = {
        {(void *)(uintptr_t)call, sizeof *call}, {&buffers.sizes, sizeof buffers.sizes}, {contents, (size_t)bytes}};
    parts_send(thread, WIRE_CALL_BUFFERS, parts, 3);
    size_t size = answer_any(thread, &frame, contents, sizeof contents);
    bool plain =
        frame.type == WIRE_CALL_RESULT && size == sizeof *result; /* home has left the buffers where they were */
    if (!plain && (frame.type != WIRE_CALL_RESULT_BUFFERS || size < LEAST))
        malformed(&frame);
    memcpy(result, contents, sizeof *result);
    if (!plain)
        memcpy(&written, contents + sizeof *result, sizeof written);
    if (!plain && !buffers_scatter(&buffers, &written, contents + LEAST, size - LEAST, store_at_home, thread)) {
        if (call->number == SYS_accept || call->number == SYS_accept4)
            accepted_close(thread, call, result->value);
        result->value = -EFAULT;
    }
    call_count_forwarded(now_ns() - thread->forward_ns);
    return true;
}

/* The exchange, or the rest of what active_call_quick has begun. */
static struct wire_result forward(struct thread *thread, const struct registers *registers)
{
    int done = thread->forward;
    thread->forward = CHANNEL_QUICK_REFUSED;
    if (done == CHANNEL_QUICK_REFUSED) {
        struct wire_call call;
        active_call_fill(&call, registers);
        if (buffers_may_go(call.number, call.arguments) && forward_buffers(thread, &call))
            return thread->forward_result;
        thread->forward_ns = now_ns();
        message_send(thread, WIRE_CALL, &call, sizeof call);
    }
    if (done != CHANNEL_QUICK_ANSWERED)
        answer_receive(thread, WIRE_CALL_RESULT, &thread->forward_result, sizeof thread->forward_result);
    call_count_forwarded(now_ns() - thread->forward_ns);
    return thread->forward_result;
}

void active_call(struct thread *thread, struct registers *registers)
{
    uint64_t number = (uint32_t)registers->g[REG_RAX];
    /* Not again once the quick path has sent it: the answer is on the way. */
    if (thread->forward == CHANNEL_QUICK_REFUSED && active_answers_itself(thread, registers))
        return;
    if (number == SYS_exit) {
        struct wire_call call;
        active_call_fill(&call, registers);
        __atomic_store_n(&thread->number, 0, __ATOMIC_RELEASE);
        message_send(thread, WIRE_THREAD_EXIT, &call, sizeof call);
        loop_again(thread);
    }
    if (active_concerns_thread(number))
        registers_go_home(thread, registers, WIRE_REASON_CALL, number);
    struct wire_result result = forward(thread, registers);
    registers->g[REG_RAX] = (uint64_t)result.value;
    if (result.flags & WIRE_RESULT_COME_HOME) {
        bool cut = RESULT_IS_RESTART(result.value);
        registers_go_home(thread, registers, WIRE_REASON_ASKED, cut ? number : WIRE_NO_CALL);
    }
}

/* ---- in signal context ----------------------------------------------------------------------------------------------
 */

static void frame_goes_home(struct thread *thread, struct frame_ucontext *context, enum wire_reason reason)
{
    context_capture_frame(thread, context);
    thread->context->reason = reason;
    context->g[REG_RIP] = (uint64_t)monitor_enter;
    context->g[REG_RDI] = (uint64_t)thread;
    context->g[REG_RSI] = (uint64_t)go_home;
    context->g[REG_RSP] = thread->monitor_rsp - 512;
    context->sigmask = ~SIGNALS_SYNCHRONOUS;
}

void active_interrupted(struct thread *thread, struct frame_ucontext *context)
{
    frame_goes_home(thread, context, WIRE_REASON_ASKED);
}

#define FAULT_WRITE       2u
#define FAULT_EXECUTE     16u
#define TRAP_BREAKPOINT   3
#define FAULT_REPEATS_MAX 64

/* True when the access can be tried again. */
static bool mapping_ask(struct thread *thread, const siginfo_t *info, const struct frame_ucontext *context)
{
    uint64_t error = context->g[REG_ERR];
    struct wire_fault fault = {.address = (uint64_t)info->si_addr,
                               .write = !!(error & FAULT_WRITE),
                               .execute = !!(error & FAULT_EXECUTE),
                               .code = (uint32_t)info->si_code};
    if (fault.address < SPAN_ZONE_START || fault.address >= SPAN_ZONE_END)
        return false;
    uint64_t generation = mirror_generation();
    uint32_t needed = fault.execute ? PROT_EXEC : fault.write ? PROT_WRITE : PROT_READ;
    if (fault.address == thread->fault_address && ++thread->fault_repeats > FAULT_REPEATS_MAX)
        return false;
    if (fault.address != thread->fault_address)
        thread->fault_repeats = 0;
    thread->fault_address = fault.address;
    if (mirror_allows(fault.address, needed))
        return true;
    message_send(thread, WIRE_MAPPING_REQUEST, &fault, sizeof fault);
    struct wire_mapping mapping;
    answer_receive(thread, WIRE_MAPPING, &mapping, sizeof mapping);
    if (mapping.kind != WIRE_MAPPING_MEMORY && mapping.kind != WIRE_MAPPING_FILE)
        return false;
    int result = mirror_add_current(&mapping, generation);
    return result == 0 || result == -EAGAIN;
}

void active_fault(struct thread *thread, const siginfo_t *info, struct frame_ucontext *context)
{
    if (info->si_signo == SIGSEGV && (info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR) &&
        mapping_ask(thread, info, context))
        return;
    if (info->si_signo == SIGTRAP && context->g[REG_TRAPNO] == TRAP_BREAKPOINT)
        context->g[REG_RIP]--; /* executed again at home */
    thread->fault_repeats = 0;
    frame_goes_home(thread, context, WIRE_REASON_FAULT);
}

#define INT_80_BYTES 2u

void active_call_32(struct thread *thread, struct frame_ucontext *context)
{
    context->g[REG_RIP] -= INT_80_BYTES; /* made again at home */
    frame_goes_home(thread, context, WIRE_REASON_FAULT);
}

/* ---- the runtime process of a peer
 * ------------------------------------------------------------------------------------ */

struct interrupt_search {
    uint32_t number;
};

static bool interrupt_one(struct thread *thread, void *argument)
{
    const struct interrupt_search *search = argument;
    if (__atomic_load_n(&thread->number, __ATOMIC_ACQUIRE) != search->number)
        return true;
    signal_interrupt(thread->tid);
    return false;
}

static void on_interrupt(uint32_t number)
{
    struct interrupt_search search = {number};
    if (number)
        thread_each(interrupt_one, &search);
}

/* clock_getcpuclockid(3) for a thread: CPUCLOCK_VIRT, time in user mode. */
#define THREAD_USER_CLOCK(tid) ((clockid_t)((~(unsigned)(tid) << 3) | 4u | 1u))

static bool program_time_add(struct thread *thread, void *sum)
{
    struct timespec time;
    if (clock_gettime(THREAD_USER_CLOCK(thread->tid), &time) == 0)
        *(uint64_t *)sum += (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000;
    return true;
}

static void on_statistics(struct wire_statistics *statistics)
{
    uint64_t local, forwarded;
    call_counters(&local, &forwarded, statistics->call_latency);
    statistics->calls_local = local;
    statistics->calls_forwarded = forwarded;
    thread_each(program_time_add, &statistics->program_us);
    statistics->idle_us = idle_us();
    statistics->threads_run = atomic_load(&threads_run);
    statistics->migrations_in = atomic_load(&migrations_in);
    statistics->migrations_out = atomic_load(&migrations_out);
}

static void on_node_lost(unsigned node, size_t pages_lost)
{
    (void)node;
    (void)pages_lost;
    peer_end(0);
}

static const struct pager_callbacks callbacks = {
    .range = mirror_range,
    .interrupt = on_interrupt,
    .statistics = on_statistics,
    .question = report_question,
    .node_lost = on_node_lost,
};

static struct process peer_process = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void thread_begin(struct thread *thread)
{
    thread->tid = (pid_t)syscall(SYS_gettid);
    thread_arm();
    loop_again(thread);
}

static int thread_make(struct channel *channel)
{
    struct thread *thread = thread_allocate();
    if (!thread)
        return -ENOMEM;
    thread->number = 0;
    thread->channel = channel;
    thread->process = &peer_process;
    thread->classes = call_classes_peer();
    thread->quick = active_call_quick;
    atomic_store(&thread->kernel_alive, 1);
    thread_register(thread);
    long result = thread_clone(thread, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
                               NULL, NULL, thread_begin);
    if (result >= 0)
        return 0;
    thread_unregister(thread);
    atomic_store(&thread->kernel_alive, 0);
    thread_release(thread);
    return (int)result;
}

/*
 * Says no to a thread on a new channel. What home sends must be read before the end: a connection that is closed with
 * bytes unread loses the answer as well.
 */
static void thread_refuse(struct channel *channel)
{
    static char frame_bytes[CONTEXT_BYTES_MAX]; /* one thread admits */
    struct wire_frame frame;
    if (channel_wait(channel, NULL, REFUSE_MS) == 1 &&
        channel_receive(channel, &frame, frame_bytes, sizeof frame_bytes) >= 0 &&
        channel_send(channel, WIRE_THREAD_REFUSED, NULL, 0) >= 0)
        channel_wait(channel, NULL, REFUSE_MS);
    channel_close(channel);
}

static int64_t clock_difference(clockid_t clock, uint64_t home_ns)
{
    struct timespec now;
    if (home_ns == 0)
        return 0; /* a copy of home's process: its clocks are home's */
    clock_gettime(clock, &now);
    int64_t difference = (int64_t)(home_ns - ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec));
    /* Less than the time a hello takes: the same clock, on the same machine. */
    return difference > -50000000 && difference < 50000000 ? 0 : difference;
}

/* Tells home whether this process has all that it needs; `why` not. The exit code. */
static int ready_send(struct channel *engine, const char *why)
{
    struct wire_ready ready = {.magic = WIRE_MAGIC, .status = why ? WIRE_REFUSED : WIRE_OK};
    snprintf(ready.message, sizeof ready.message, "%s", why ? why : "");
    int result = channel_send_bytes(engine, &ready, sizeof ready);
    return why || result < 0 ? SPAN_EXIT_FAILURE : 0;
}

int peer_run(struct channel *engine, int thread_socket, const struct wire_hello *hello)
{
    char why[WIRE_MESSAGE_BYTES];
    is_peer = true;
    span_verbose_set(hello->verbose);
    if (!thread_initialise(why))
        return ready_send(engine, why);
    clock_initialise(clock_difference(CLOCK_MONOTONIC, hello->monotonic_ns),
                     clock_difference(CLOCK_BOOTTIME, hello->boottime_ns),
                     clock_difference(CLOCK_REALTIME, hello->realtime_ns));
    if (hello->processor_count)
        clock_processors(hello->processor_first, hello->processor_count);
    signal_initialise(true);
    mirror_initialise();
    idle_initialise();
    if (hello->monotonic_ns == 0) /* a copy of home's process, its child */
        suspend_watch(getppid());
    struct pager_configuration configuration = {.node = hello->node,
                                                .compress = hello->compress,
                                                .no_ahead = (hello->flags & WIRE_HELLO_NO_AHEAD) != 0,
                                                .callbacks = &callbacks};
    if (pager_start(&configuration, why) < 0)
        return ready_send(engine, why);
    if (peer_filter_install() < 0)
        return ready_send(engine, "the filter of system calls cannot be installed");
    int status = ready_send(engine, NULL);
    if (status != 0)
        return status;
    status = pager_add_node(HOME_NODE, engine);
    SPAN_ASSERT(status == 0);
    for (;;) {
        struct pollfd next = {.fd = thread_socket, .events = POLLIN};
        if (suspend_watches() && poll(&next, 1, SUSPEND_LOOK_MS) <= 0) {
            suspend_look();
            continue;
        }
        int fd, result = peer_receive_thread(thread_socket, true, &fd);
        if (result == -EINTR)
            continue;
        if (result < 0)
            span_warn("peer: no way for a new thread: %s", strerror(-result));
        if (result != 1)
            break;
        struct channel *channel;
        if (channel_accept(fd, peer_key, 5000, &channel, why) != 0)
            span_warn("peer: %s", why); /* home finds the connection ended */
        else if (thread_make(channel) != 0)
            thread_refuse(channel);
    }
    /* The agent or home closed the way for new threads; the engine loop ends the process when home goes. */
    for (;;)
        pause();
}
