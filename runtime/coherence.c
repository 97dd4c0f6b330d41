/*
 * The coherence protocol: the way in, where everything that came over the network is checked for
 * form. Not for what happens then: coherence_home.c, coherence_peer.c, coherence_job.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/coherence_private.h"

#define HOLD_DEFAULT_NS 40000u

_Noreturn void coherence_abort(const char *condition, const char *file, int line)
{
    fprintf(stderr, "ld-span: coherence: assertion failed: %s at %s:%d (memory cannot be trusted any more)\n",
            condition, file, line);
    abort();
}

struct coherence *coherence_create(unsigned node, const struct coherence_operations *operations, void *context,
                                   uint64_t hold_ns)
{
    COHERENCE_ASSERT(node < NODES_MAX);
    struct coherence *coherence = calloc(1, sizeof *coherence);
    if (coherence == NULL)
        return NULL;
    coherence->operations = *operations;
    coherence->context = context;
    coherence->node = node;
    coherence->hold_ns = hold_ns != 0 ? hold_ns : HOLD_DEFAULT_NS;
    return coherence;
}

void coherence_destroy(struct coherence *coherence)
{
    if (coherence == NULL)
        return;
    coherence_requests_destroy(coherence);
    coherence_jobs_destroy(coherence);
    coherence_table_destroy(coherence);
    free(coherence);
}

void coherence_fault(struct coherence *coherence, uint64_t page, bool write)
{
    COHERENCE_ASSERT(page >= PAGE_FIRST && page < PAGE_END);
    if (coherence->node == HOME_NODE) {
        coherence_home_fault(coherence, page, write);
        coherence_jobs_advance(coherence);
    } else {
        coherence_peer_fault(coherence, page, write);
    }
}

void coherence_fault_protected(struct coherence *coherence, uint64_t page)
{
    COHERENCE_ASSERT(page >= PAGE_FIRST && page < PAGE_END);
    if (coherence->node == HOME_NODE) {
        coherence_home_fault_protected(coherence, page);
        coherence_jobs_advance(coherence);
    } else {
        coherence_peer_fault_protected(coherence, page);
    }
}

void coherence_fault_foreign(struct coherence *coherence, uint64_t page)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE && page >= PAGE_FIRST && page < PAGE_END);
    coherence_home_fault_foreign(coherence, page);
    coherence_jobs_advance(coherence);
}

void coherence_guard_all(struct coherence *coherence)
{
    coherence->guarded = true;
}

void coherence_move(struct coherence *coherence, uint64_t page, unsigned node)
{
    if (page < PAGE_FIRST || page >= PAGE_END)
        return;
    if (coherence->node == HOME_NODE)
        coherence_home_push(coherence, page, node);
    else
        coherence_peer_give(coherence, page);
}

/* ---- messages -------------------------------------------------------------------------------- */

void coherence_install_failed(struct coherence *coherence, uint64_t page, const void *data)
{
    COHERENCE_ASSERT(coherence->node != HOME_NODE && page >= PAGE_FIRST && page < PAGE_END);
    coherence_peer_install_failed(coherence, page, data);
}

static int message_page(struct coherence *coherence, unsigned from, enum wire_type type, const void *payload,
                        size_t bytes)
{
    struct wire_page message;
    if (bytes < sizeof message)
        return -EPROTO;
    memcpy(&message, payload, sizeof message);
    bool with_data = (type == WIRE_PAGE_GRANT || type == WIRE_PAGE_RETURN) && (message.flags & WIRE_PAGE_DATA);
    if (bytes != sizeof message + (with_data ? PAGE_BYTES : 0))
        return -EPROTO;
    if (message.page < PAGE_FIRST || message.page >= PAGE_END || message.state > PAGE_MODIFIED ||
        message.held > PAGE_MODIFIED || message.count != 0)
        return -EPROTO;
    const void *data = with_data ? (const uint8_t *)payload + sizeof message : NULL;
    switch (type) {
    case WIRE_PAGE_REQUEST:
        return coherence_home_request(coherence, from, &message);
    case WIRE_PAGE_RETURN:
        return coherence_home_return(coherence, from, &message, data);
    case WIRE_PAGE_GRANT:
        return coherence_peer_grant(coherence, &message, data);
    default:
        return coherence_peer_recall(coherence, &message);
    }
}

static int message_range(struct coherence *coherence, unsigned from, enum wire_type type, const void *payload,
                         size_t bytes)
{
    struct wire_range range;
    if (bytes != sizeof range)
        return -EPROTO;
    memcpy(&range, payload, sizeof range);
    if (range.start >= range.end || range.start < SPAN_ZONE_START || range.end > SPAN_ZONE_END ||
        ((range.start | range.end) & (PAGE_BYTES - 1)) != 0 ||
        (range.protection & ~(uint32_t)(PROT_READ | PROT_WRITE | PROT_EXEC)) != 0)
        return -EPROTO;
    if (type == WIRE_RANGE_DONE)
        return coherence_job_range_done(coherence, from, &range);
    return coherence_peer_range(coherence, type, &range);
}

int coherence_message(struct coherence *coherence, unsigned from, enum wire_type type, const void *payload,
                      size_t bytes)
{
    bool home = coherence->node == HOME_NODE;
    if (home ? from >= NODES_MAX || !(coherence->nodes & NODE_BIT(from)) : from != HOME_NODE)
        return -EPROTO;
    int result = -EPROTO;
    switch (type) {
    case WIRE_PAGE_REQUEST:
    case WIRE_PAGE_RETURN:
        if (home)
            result = message_page(coherence, from, type, payload, bytes);
        break;
    case WIRE_PAGE_GRANT:
    case WIRE_PAGE_RECALL:
        if (!home)
            result = message_page(coherence, from, type, payload, bytes);
        break;
    case WIRE_RANGE_DONE:
        if (home)
            result = message_range(coherence, from, type, payload, bytes);
        break;
    case WIRE_RANGE_DROP:
    case WIRE_RANGE_PROTECT:
        if (!home)
            result = message_range(coherence, from, type, payload, bytes);
        break;
    default:
        break;
    }
    if (home)
        coherence_jobs_advance(coherence);
    return result;
}

uint64_t coherence_tick(struct coherence *coherence)
{
    uint64_t due_ns;
    struct coherence_request *ready;
    coherence->ticks++;
    do {
        due_ns = UINT64_MAX;
        ready = NULL;
        for (struct coherence_request *request = coherence->delayed; request != NULL && ready == NULL;
             request = request->delayed_next) {
            uint64_t left_ns = coherence_hold_left(coherence, coherence_table_find(coherence, request->page));
            if (left_ns == 0)
                ready = request;
            else if (left_ns < due_ns)
                due_ns = left_ns;
        }
        if (ready != NULL && coherence->node != HOME_NODE) {
            coherence_peer_release(coherence, ready);
        } else if (ready != NULL) {
            coherence_request_undelay(coherence, ready);
            coherence_home_run(coherence, ready->page);
        }
    } while (ready != NULL);
    if (coherence->node == HOME_NODE)
        coherence_jobs_advance(coherence);
    return due_ns;
}

/* ---- looking in ------------------------------------------------------------------------------ */

void coherence_counters_read(const struct coherence *coherence, struct coherence_counters *out)
{
    *out = coherence->counters;
}

enum page_state coherence_state(const struct coherence *coherence, uint64_t page, uint32_t *epoch)
{
    const struct coherence_page *entry = coherence_table_find(coherence, page);
    bool home = coherence->node == HOME_NODE;
    if (epoch != NULL)
        *epoch = entry != NULL ? entry->epoch : home ? EPOCH_FIRST : 0;
    if (entry == NULL)
        return home ? PAGE_MODIFIED : PAGE_LOST;
    if (home && !(entry->holders & HOME_BIT))
        return PAGE_LOST;
    return entry->state;
}

bool coherence_oldest_wait(const struct coherence *coherence, uint64_t *page, uint64_t *since_ns, unsigned *waits_for)
{
    const struct coherence_request *request = coherence->oldest;
    while (request != NULL && request->kind != KIND_REQUEST)
        request = request->newer;
    const struct coherence_job *job = coherence->jobs;
    if (request == NULL && job == NULL)
        return false;
    uint64_t nodes = request != NULL ? request->pending : 0;
    if (request == NULL || (job != NULL && job->since_ns < request->since_ns)) {
        *page = job->start;
        *since_ns = job->since_ns;
        nodes = job->waiting;
    } else {
        *page = request->page;
        *since_ns = request->since_ns;
    }
    *waits_for = nodes != 0 ? node_first(nodes) : HOME_NODE;
    return true;
}
