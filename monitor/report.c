/*
 * What a thread notes when it is asked, and what is told of it.
 */
#include "monitor/report.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <time.h>

#include "monitor/active.h"
#include "monitor/clock.h"
#include "monitor/signal.h"
#include "monitor/thread.h"
#include "runtime/pager.h"

static const unsigned char noted[WIRE_REPORT_REGISTERS] = {REG_RIP, REG_RSP, REG_RBP, REG_RBX,
                                                           REG_R12, REG_R13, REG_R14, REG_R15};
static const unsigned char arguments[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

/* Has it an active half on this node, which runs the program's code or its calls? */
static bool is_here(const struct thread *thread)
{
    if (active_is_peer())
        return __atomic_load_n(&thread->number, __ATOMIC_ACQUIRE) != 0;
    return thread->node == HOME_NODE && !thread->foreign;
}

static bool ask_one(struct thread *thread, void *unused)
{
    (void)unused;
    atomic_store(&thread->report.told, false);
    if (is_here(thread))
        signal_report(thread->tid);
    return true;
}

void report_ask(void)
{
    thread_each(ask_one, NULL);
}

static void note(struct thread_report *report, const uint64_t *g)
{
    for (unsigned i = 0; i < WIRE_REPORT_REGISTERS; i++)
        report->registers[i] = g[noted[i]];
    for (unsigned i = 0; i < 6; i++)
        report->arguments[i] = g[arguments[i]];
}

void report_note(struct thread *thread, const struct frame_ucontext *context, bool in_program)
{
    struct thread_report *report = &thread->report;
    uint64_t at = context->g[REG_RIP];
    bool direct = at >= (uint64_t)entry_text_start && at <= (uint64_t)direct_after;
    report->in_program = in_program;
    if (in_program || direct)
        note(report, context->g);
    else
        note(report, ((const struct registers *)(thread->monitor_rsp - REGISTERS_BYTES))->g);
    if (!in_program && direct)
        report->registers[0] = thread->return_address;
    atomic_store_explicit(&report->told, true, memory_order_release);
}

struct request {
    struct wire_thread_report *reports;
    size_t count, room;
    bool pages;
};

static bool take_one(struct thread *thread, void *argument)
{
    struct request *request = argument;
    if (!is_here(thread))
        return true;
    if (request->count == request->room)
        return false;
    struct wire_thread_report *out = &request->reports[request->count++];
    bool told = atomic_load_explicit(&thread->report.told, memory_order_acquire);
    struct thread_report silent = {0};
    const struct thread_report *report = told ? &thread->report : &silent;
    if (!told)
        note(&silent, ((const struct registers *)(thread->monitor_rsp - REGISTERS_BYTES))->g);
    uint64_t call = thread->entry_number;
    if (call == SYS_restart_syscall && thread->wait_call)
        call = thread->wait_call;
    *out = (struct wire_thread_report){.thread = thread->number, .call = call};
    out->state = !told ? WIRE_THREAD_SILENT : report->in_program ? WIRE_THREAD_RUNS : WIRE_THREAD_CALLS;
    memcpy(out->arguments, report->arguments, sizeof out->arguments);
    memcpy(out->registers, report->registers, sizeof out->registers);
    uint64_t address, since_ns = 0;
    if (request->pages && pager_recent(thread->tid, 0, &address, 1) == 1)
        since_ns = pager_waits_since(address);
    if (since_ns != 0) {
        out->waits_address = address;
        out->waits_ns = clock_now_ns() - since_ns;
    }
    return true;
}

size_t report_take(struct wire_thread_report *reports, size_t room, bool pages)
{
    struct request request = {.reports = reports, .room = room, .pages = pages};
    thread_each(take_one, &request);
    return request.count;
}

size_t report_question(uint32_t what, void *answer, size_t room)
{
    if (what == WIRE_QUESTION_LOOK)
        report_ask();
    if (what != WIRE_QUESTION_THREADS)
        return 0;
    return report_take(answer, room / sizeof(struct wire_thread_report), true) * sizeof(struct wire_thread_report);
}
