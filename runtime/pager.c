/*
 * The pager's engine loop: polls the userfaultfd, the engine channels and the jobs, and binds
 * coherence to them. Not for the protocol (coherence.c), the pages (userfault.c), file pages
 * (pager_file.c) nor for starting it (pager_api.c).
 *
 * One thread owns all state. How it waits between turns: pager_wait.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pager_private.h"

#define FRAMES_MAX    64 /* of one node in one turn, so that none starves the others */
#define QUIT_FLUSH_MS 1000

#define EXIT_PROTOCOL 125

uint64_t pager_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pager_line(const char *format, va_list arguments)
{
    char line[256];
    int used = snprintf(line, sizeof line, "ld-span: pager: ");
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    size_t length = strnlen(line, sizeof line - 1);
    line[length++] = '\n';
    if (more < 0 || write(STDERR_FILENO, line, length) < 0)
        return; /* nobody to tell */
}

void pager_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pager_line(format, arguments);
    va_end(arguments);
}

void pager_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pager_line(format, arguments);
    va_end(arguments);
    _exit(EXIT_PROTOCOL);
}

/* ---- latency of faults ----------------------------------------------------------------------- */

static struct pager_clock *clock_slot(struct pager *pager, uint64_t page)
{
    return &pager->clocks[(page * 0x9e3779b97f4a7c15ull) >> 56];
}

static void pager_clock_start(struct pager *pager, uint64_t page, uint64_t now_ns)
{
    struct pager_clock *slot = clock_slot(pager, page);
    if (slot->page != page)
        *slot = (struct pager_clock){.page = page, .since_ns = now_ns};
}

uint64_t pager_clock_since(struct pager *pager, uint64_t page)
{
    const struct pager_clock *slot = clock_slot(pager, page);
    return slot->page == page ? slot->since_ns : 0;
}

void pager_clock_stop(struct pager *pager, uint64_t page)
{
    struct pager_clock *slot = clock_slot(pager, page);
    if (slot->page != page)
        return;
    uint64_t taken_ns = pager_now_ns() - slot->since_ns;
    slot->page = 0;
    unsigned bucket = taken_ns == 0 ? 0 : 63u - (unsigned)__builtin_clzll(taken_ns);
    pager->fault_latency[bucket < WIRE_LATENCY_BUCKETS ? bucket : WIRE_LATENCY_BUCKETS - 1]++;
}

/* ---- operations for coherence ---------------------------------------------------------------- */

void pager_send(struct pager *pager, unsigned node, enum wire_type type, const void *head, size_t head_bytes,
                const void *data, size_t data_bytes)
{
    PAGER_ASSERT(node < NODES_MAX);
    struct pager_node *to = &pager->nodes[node];
    if (to->channel == NULL || to->error != 0)
        return; /* the end of the connection is about to be told to coherence */
    struct iovec parts[2] = {
        {.iov_base = (void *)head, .iov_len = head_bytes},
        {.iov_base = (void *)data, .iov_len = data_bytes},
    };
    int count = data_bytes != 0 ? 2 : head_bytes != 0 ? 1 : 0;
    const void *packed;
    size_t packed_bytes = data_bytes != 0 ? pager_pack(pager, node, head, head_bytes, data, data_bytes, &packed) : 0;
    if (packed_bytes != 0) {
        parts[0] = (struct iovec){.iov_base = (void *)packed, .iov_len = packed_bytes};
        count = 1;
    }
    int result = channel_stage(to->channel, type, packed_bytes != 0 ? WIRE_FRAME_PACKED : 0, parts, count);
    if (result < 0)
        to->error = result;
    to->unsent = true;
    pager->bytes_out += sizeof(struct wire_frame) + (packed_bytes != 0 ? packed_bytes : head_bytes + data_bytes);
}

static void operation_send(void *context, unsigned node, enum wire_type type, const struct wire_page *message,
                           const void *data)
{
    if (type == WIRE_PAGE_GRANT)
        pager_trace_grant(node, message->page,
                          message->flags & WIRE_PAGE_DATA   ? 'd'
                          : message->flags & WIRE_PAGE_ZERO ? 'z'
                          : message->flags & WIRE_PAGE_GONE ? 'g'
                                                            : 'p');
    pager_send(context, node, type, message, message != NULL ? sizeof *message : 0, data,
               data != NULL ? PAGE_BYTES : 0);
}

/* Before anything else is done to pages than to put granted ones in place. */
static void installs_settle(struct pager *pager)
{
    pager->installs_later = false;
    pager_install_now(pager);
}

static void discards_carry_out(struct pager *pager)
{
    if (pager->discard_count != 0)
        userfault_discard(&pager->userfault, pager->discards, pager->discard_count);
    pager->discard_count = 0;
}

/* Before anything else happens to a page that is still to be removed. */
static void discards_settle(struct pager *pager, uint64_t page)
{
    installs_settle(pager);
    for (unsigned i = 0; i < pager->discard_count; i++)
        if (pager->discards[i] == page) {
            discards_carry_out(pager);
            return;
        }
}

static void home_answered(const struct pager *pager, uint64_t page, char content)
{
    if (pager->configuration.node == HOME_NODE)
        pager_trace_grant(HOME_NODE, page, content);
}

static int operation_protect(void *context, uint64_t page)
{
    struct pager *pager = context;
    discards_settle(pager, page);
    return pager_window_protect(pager, page);
}

static int operation_unprotect(void *context, uint64_t page)
{
    struct pager *pager = context;
    discards_settle(pager, page);
    pager_window_forget();
    int result = userfault_unprotect(&pager->userfault, page);
    home_answered(pager, page, 'p');
    pager_clock_stop(pager, page);
    return result;
}

static int operation_install(void *context, uint64_t page, const void *data, bool writable)
{
    struct pager *pager = context;
    if (pager->configuration.node != HOME_NODE)
        pager_ahead_came(page, data == NULL);
    if (pager->installs_later && data != NULL && pager->discard_count == 0) {
        pager_install_later(pager, page, data, writable);
        return 0;
    }
    discards_settle(pager, page);
    pager_window_forget();
    int result = userfault_install(&pager->userfault, page, data, writable);
    home_answered(pager, page, data != NULL ? 'd' : 'z');
    pager_clock_stop(pager, page);
    return result;
}

static void operation_wake(void *context, uint64_t page)
{
    struct pager *pager = context;
    installs_settle(pager);
    userfault_wake(&pager->userfault, page, 1);
    home_answered(pager, page, 'p');
    pager_clock_stop(pager, page);
}

static int operation_read(void *context, uint64_t page, void *data, bool populate)
{
    struct pager *pager = context;
    discards_settle(pager, page);
    return pager_window_read(pager, page, data, populate);
}

static void operation_discard(void *context, uint64_t page)
{
    struct pager *pager = context;
    installs_settle(pager);
    if (pager->discard_count == USERFAULT_DISCARDS_MAX)
        discards_carry_out(pager);
    pager->discards[pager->discard_count++] = page;
}

static int operation_seal(void *context, uint64_t page)
{
    struct pager *pager = context;
    discards_settle(pager, page);
    pager_window_forget();
    return userfault_seal(&pager->userfault, page);
}

static int operation_take(void *context, uint64_t page, void *data, bool force)
{
    struct pager *pager = context;
    discards_settle(pager, page);
    pager_window_forget();
    return userfault_take(&pager->userfault, page, data, force);
}

static uint64_t operation_now_ns(void *context)
{
    (void)context;
    return pager_now_ns();
}

static void operation_range(void *context, enum wire_type type, const struct wire_range *range)
{
    struct pager *pager = context;
    PAGER_ASSERT(range->start < range->end);
    discards_carry_out(pager);
    pager_window_forget();
    /* Before the mapping goes: what another thread maps there afterwards must stay in the lists. */
    if (type == WIRE_RANGE_DROP) {
        pager_file_dropped(range->start, range->end);
        pager_ahead_remove(range->start, range->end);
    }
    if (pager->configuration.callbacks->range != NULL)
        pager->configuration.callbacks->range(type, range);
    userfault_wake(&pager->userfault, range->start >> PAGE_SHIFT, (range->end - range->start) >> PAGE_SHIFT);
}

static void operation_done(void *context, void *job)
{
    discards_carry_out(context); /* what is mapped there next must not suffer */
    pager_window_forget();
    pager_job_finish(job);
}

const struct coherence_operations pager_operations = {
    .send = operation_send,
    .protect = operation_protect,
    .unprotect = operation_unprotect,
    .install = operation_install,
    .wake = operation_wake,
    .read = operation_read,
    .discard = operation_discard,
    .take = operation_take,
    .seal = operation_seal,
    .now_ns = operation_now_ns,
    .range = operation_range,
    .done = operation_done,
};

/* ---- one turn of the loop -------------------------------------------------------------------- */

void pager_fault(struct pager *pager, uint64_t page, bool write)
{
    if (pager_trace_running() && pager->configuration.node == HOME_NODE &&
        coherence_state(pager->coherence, page, NULL) < (write ? PAGE_MODIFIED : PAGE_SHARED))
        pager_trace_request(HOME_NODE, page, write);
    coherence_fault(pager->coherence, page, write);
}

static bool loop_faults(struct pager *pager)
{
    struct userfault_event events[USERFAULT_EVENTS_MAX];
    int count = userfault_events(&pager->userfault, events);
    pager->ready = count == USERFAULT_EVENTS_MAX;
    if (count == 0)
        return false;
    uint64_t now_ns = pager_now_ns();
    bool peer = pager->configuration.node != HOME_NODE;
    for (int i = 0; i < count; i++) {
        pager_clock_start(pager, events[i].page, now_ns);
        if (peer && pager_file_fault(pager, events[i].page))
            continue;
        if (!peer && events[i].write && pager_foreign(events[i].thread)) {
            pager_trace_request(HOME_NODE, events[i].page, true);
            coherence_fault_foreign(pager->coherence, events[i].page);
            continue;
        }
        pager_recent_add(&events[i]);
        if (events[i].write && !events[i].missing &&
            coherence_state(pager->coherence, events[i].page, NULL) == PAGE_MODIFIED) {
            pager_window_lift(pager, events[i].page);
            coherence_fault_protected(pager->coherence, events[i].page);
            continue;
        }
        pager_ahead_before(pager, &events[i]);
        pager_fault(pager, events[i].page, events[i].write);
        pager_ahead_after(pager, &events[i]);
    }
    return true;
}

static void loop_job(struct pager *pager, struct pager_job *job)
{
    switch (job->type) {
    case PAGER_JOB_ADD_NODE:
        PAGER_ASSERT(job->node < NODES_MAX && pager->nodes[job->node].channel == NULL);
        pager->nodes[job->node] = (struct pager_node){.channel = job->channel};
        pager->node_count++;
        if (pager->configuration.node == HOME_NODE)
            coherence_node_add(pager->coherence, job->node);
        pager_job_finish(job);
        return;
    case PAGER_JOB_DROP:
        pager_trace_range('d', job->nodes, job->start >> PAGE_SHIFT, (job->end - job->start) >> PAGE_SHIFT);
        coherence_drop(pager->coherence, job->start >> PAGE_SHIFT, job->end >> PAGE_SHIFT, job->nodes, job);
        return;
    case PAGER_JOB_PROTECT:
        coherence_protect(pager->coherence, job->start >> PAGE_SHIFT, job->end >> PAGE_SHIFT, job->protection,
                          job->nodes, job);
        return;
    case PAGER_JOB_RECALL:
        pager_trace_range('b', job->nodes, job->start >> PAGE_SHIFT, (job->end - job->start) >> PAGE_SHIFT);
        coherence_recall(pager->coherence, job->start >> PAGE_SHIFT, job->end >> PAGE_SHIFT, job->nodes, job);
        return;
    case PAGER_JOB_FREEZE:
        coherence_freeze(pager->coherence, job);
        return;
    case PAGER_JOB_THAW:
        coherence_thaw(pager->coherence);
        pager_job_finish(job);
        return;
    case PAGER_JOB_INTERRUPT: {
        struct wire_interrupt interrupt = {.thread = job->thread};
        pager_send(pager, job->node, WIRE_INTERRUPT, &interrupt, sizeof interrupt, NULL, 0);
        pager_job_finish(job);
        return;
    }
    case PAGER_JOB_GUARD:
        coherence_guard_all(pager->coherence);
        pager_job_finish(job);
        return;
    case PAGER_JOB_WRITABLE:
        coherence_fault_protected(pager->coherence, job->start >> PAGE_SHIFT);
        pager_job_finish(job);
        return;
    case PAGER_JOB_WANT:
        for (unsigned i = 0; i < job->page_count; i++)
            pager_ahead_want(pager, job->pages[i] >> PAGE_SHIFT, job->writes >> i & 1);
        pager_job_finish(job);
        return;
    case PAGER_JOB_MOVE:
        for (unsigned i = 0; i < job->page_count; i++)
            coherence_move(pager->coherence, job->pages[i] >> PAGE_SHIFT, job->node);
        pager_job_finish(job);
        return;
    case PAGER_JOB_STATISTICS:
        pager_statistics_start(pager, job);
        return;
    case PAGER_JOB_QUESTION:
        pager_question_start(pager, job);
        return;
    }
}

static bool loop_jobs(struct pager *pager)
{
    struct pager_job *job = pager_job_take(&pager->queue);
    if (job == NULL)
        return false;
    while (job != NULL) {
        struct pager_job *next = job->next;
        loop_job(pager, job);
        job = next;
    }
    return true;
}

/* Peer: the session is over. The last frames leave before the process does. */
static void loop_quit(struct pager *pager)
{
    struct wire_statistics statistics;
    struct pager_node *home = &pager->nodes[HOME_NODE];
    discards_carry_out(pager);
    pager_statistics_fill(pager, &statistics);
    pager_send(pager, HOME_NODE, WIRE_STATISTICS, &statistics, sizeof statistics, NULL, 0);
    uint64_t deadline_ns = pager_now_ns() + QUIT_FLUSH_MS * 1000000ull;
    while (home->error == 0 && channel_flush(home->channel) == 0 && pager_now_ns() < deadline_ns) {
        struct pollfd wait = {.fd = channel_fd(home->channel), .events = POLLOUT};
        poll(&wait, 1, QUIT_FLUSH_MS);
    }
    pager->configuration.callbacks->node_lost(HOME_NODE, 0);
    _exit(0);
}

static int loop_frame_peer(struct pager *pager, const struct wire_frame *frame, const void *payload)
{
    struct wire_interrupt interrupt;
    struct wire_statistics statistics;
    switch (frame->type) {
    case WIRE_FILE_GRANT:
        return pager_file_grant(pager, payload, frame->bytes);
    case WIRE_INTERRUPT:
        if (frame->bytes != sizeof interrupt)
            return -EPROTO;
        memcpy(&interrupt, payload, sizeof interrupt);
        if (pager->configuration.callbacks->interrupt != NULL)
            pager->configuration.callbacks->interrupt(interrupt.thread);
        return 0;
    case WIRE_STATISTICS_REQUEST:
        pager_statistics_fill(pager, &statistics);
        pager_send(pager, HOME_NODE, WIRE_STATISTICS, &statistics, sizeof statistics, NULL, 0);
        return 0;
    case WIRE_QUESTION:
        return pager_question_asked(pager, payload, frame->bytes);
    case WIRE_QUIT:
        loop_quit(pager);
        return 0;
    default:
        return coherence_message(pager->coherence, HOME_NODE, frame->type, payload, frame->bytes);
    }
}

static int loop_frame_home(struct pager *pager, unsigned from, const struct wire_frame *frame, const void *payload)
{
    struct wire_page request;
    switch (frame->type) {
    case WIRE_FILE_REQUEST:
        return pager_file_request(pager, from, payload, frame->bytes);
    case WIRE_STATISTICS:
        return pager_statistics_answer(pager, from, payload, frame->bytes);
    case WIRE_ANSWER:
        return pager_question_answered(pager, from, payload, frame->bytes);
    case WIRE_PAGE_REQUEST:
        if (frame->bytes == sizeof request) {
            memcpy(&request, payload, sizeof request);
            pager_trace_request(from, request.page, request.state == PAGE_MODIFIED);
        }
        return coherence_message(pager->coherence, from, frame->type, payload, frame->bytes);
    default:
        return coherence_message(pager->coherence, from, frame->type, payload, frame->bytes);
    }
}

/*
 * The connection to `node` has ended, for `node->error`. The protocol makes do with zeros for pages
 * whose only copy was there, and wakes who waits for them: not before the monitor has had its say,
 * which ends the process, nor at the end of the session, when threads still run and have to wait
 * until the process goes.
 */
static void loop_node_end(struct pager *pager, unsigned number)
{
    struct pager_node *node = &pager->nodes[number];
    bool quitting = node->quitting;
    bool home = pager->configuration.node == HOME_NODE;
    channel_close(node->channel);
    *node = (struct pager_node){0};
    pager->node_count--;
    if (!quitting && pager->configuration.callbacks->node_lost != NULL)
        pager->configuration.callbacks->node_lost(number, home ? coherence_node_sole(pager->coherence, number) : 0);
    if (!home)
        pager_fatal("home is gone: the session cannot go on");
    if (!quitting)
        coherence_node_lost(pager->coherence, number);
    pager_statistics_node_lost(pager, number);
    pager_question_node_lost(pager, number);
}

static bool loop_channel(struct pager *pager, unsigned number)
{
    struct pager_node *node = &pager->nodes[number];
    bool home = pager->configuration.node == HOME_NODE;
    int received = 0;
    while (node->ready && received < FRAMES_MAX && node->error == 0) {
        struct wire_frame frame;
        const void *payload;
        int result = channel_poll_frame(node->channel, &frame, &payload);
        if (result == 0) {
            node->ready = false;
            break;
        }
        if (result < 0) {
            node->error = result;
            break;
        }
        received++;
        pager->bytes_in += sizeof frame + frame.bytes;
        if (frame.type != WIRE_PAGE_GRANT)
            installs_settle(pager);
        pager->installs_later = !home && frame.type == WIRE_PAGE_GRANT;
        result = pager_unpack(pager, &frame, &payload);
        if (result == 0)
            result = home ? loop_frame_home(pager, number, &frame, payload) : loop_frame_peer(pager, &frame, payload);
        if (result < 0) {
            pager_warn("node %u: frame of type %u with %u bytes makes no sense: connection ended", number,
                       (unsigned)frame.type, frame.bytes);
            node->error = result;
        }
    }
    installs_settle(pager);
    if (node->error != 0) {
        if (node->error == -ENOBUFS)
            pager_warn("node %u: it has stopped reading: connection ended", number);
        loop_node_end(pager, number);
        return true;
    }
    return received != 0;
}

static void loop_watchdog(struct pager *pager, uint64_t now_ns)
{
    uint64_t page, since_ns;
    unsigned waits_for = HOME_NODE;
    if (!coherence_oldest_wait(pager->coherence, &page, &since_ns, &waits_for) &&
        !pager_file_oldest_wait(&page, &since_ns))
        return;
    if (since_ns > now_ns || now_ns - since_ns < PAGER_WATCHDOG_NS || now_ns - pager->warn_ns < PAGER_WATCHDOG_NS)
        return;
    pager->warn_ns = now_ns;
    pager_warn(
        "node %u waits for node %u since %lu s, for the page of %#lx (is that one stopped, or its machine gone?)",
        pager->configuration.node, waits_for, (now_ns - since_ns) / 1000000000u, page << PAGE_SHIFT);
}

/* What a turn has queued goes out at its end, in one piece for each node. */
static void loop_flush(struct pager *pager)
{
    discards_carry_out(pager);
    for (unsigned node = 0, seen = 0; node < NODES_MAX && seen < pager->node_count; node++) {
        struct pager_node *to = &pager->nodes[node];
        if (to->channel == NULL)
            continue;
        seen++;
        if (!to->unsent || to->error != 0)
            continue;
        int result = channel_flush(to->channel);
        to->unsent = result == 0;
        if (result < 0)
            to->error = result;
    }
}

/* Everything that is marked as ready, once. True when there was anything. */
static bool loop_turn(struct pager *pager)
{
    pager_window_forget();
    bool active = pager->ready && loop_faults(pager);
    for (unsigned node = 0, seen = 0; node < NODES_MAX && seen < pager->node_count; node++) {
        const struct pager_node *at = &pager->nodes[node];
        if (at->channel == NULL)
            continue;
        seen++;
        if (at->ready || at->error != 0)
            active |= loop_channel(pager, node);
    }
    active |= loop_jobs(pager);
    if (pager->statistics != NULL)
        pager_statistics_expire(pager, pager_now_ns());
    if (pager->questions != NULL)
        pager_question_expire(pager, pager_now_ns());
    if (active || pager_now_ns() >= pager->tick_due_ns) {
        uint64_t wait_ns = coherence_tick(pager->coherence);
        uint64_t now_ns = pager_now_ns();
        pager->tick_due_ns = wait_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + wait_ns;
    }
    loop_flush(pager);
    return active;
}

static bool loop_has_more(const struct pager *pager)
{
    bool more = pager->ready;
    for (unsigned node = 0; node < NODES_MAX; node++)
        more |= pager->nodes[node].ready || pager->nodes[node].error != 0;
    return more;
}

void *pager_loop(void *argument)
{
    struct pager *pager = argument;
    pager_wait_start(pager);
    for (;;) {
        bool active = loop_turn(pager);
        uint64_t now_ns = pager_now_ns();
        if (active)
            pager_wait_active(pager, now_ns);
        if (loop_has_more(pager) || pager_wait_spin(pager, now_ns))
            continue;
        loop_watchdog(pager, now_ns);
        pager_wait_sleep(pager, now_ns);
    }
    return NULL;
}
