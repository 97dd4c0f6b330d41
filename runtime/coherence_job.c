/*
 * Jobs of the coherence protocol at home: dropping, protecting and recalling ranges, and freezing
 * for a fork. Not for what a range message does on a peer (coherence_peer.c).
 *
 * One job is at work at a time, in the order in which they came. It waits until no page of its
 * range is busy, and from its start to its end no other request for the range begins, so that
 * nothing is granted that the job has not seen.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/coherence_private.h"

static bool job_forgets(const struct coherence_job *job)
{
    return job->type == JOB_DROP || job->type == JOB_RECALL;
}

static bool job_covers(const struct coherence_job *job, uint64_t page)
{
    return page >= job->start && page < job->end;
}

bool coherence_job_blocks(const struct coherence *coherence, const struct coherence_request *request)
{
    const struct coherence_job *job = coherence->jobs;
    return job != NULL && job->phase != PHASE_START && request->job == NULL && job_forgets(job) &&
           job_covers(job, request->page);
}

bool coherence_job_concerns(const struct coherence *coherence, uint64_t page)
{
    for (const struct coherence_job *job = coherence->jobs; job != NULL; job = job->next)
        if (job->type == JOB_FREEZE || job_covers(job, page))
            return true;
    return false;
}

bool coherence_job_forgets(struct coherence *coherence, unsigned node, uint64_t page)
{
    struct coherence_job *job = coherence->jobs;
    if (job == NULL || job->phase == PHASE_START || !job_forgets(job) || !job_covers(job, page))
        return false;
    if (job->phase == PHASE_WAIT)
        return (job->waiting & NODE_BIT(node)) != 0;
    job->nodes |= NODE_BIT(node); /* it knows the range: it has to be told */
    return true;
}

/* ---- phases ---------------------------------------------------------------------------------- */

static void job_start(struct coherence *coherence, struct coherence_job *job)
{
    switch (job->type) {
    case JOB_PROTECT:
        job->phase = PHASE_SEND;
        return;
    case JOB_FREEZE:
        coherence->frozen = true;
        job->phase = PHASE_COLLECT;
        return;
    default:
        job->phase = PHASE_DRAIN;
    }
    struct coherence_request *next;
    for (struct coherence_request *request = coherence->oldest; request != NULL; request = next) {
        next = request->newer;
        if (request->node == HOME_NODE || request->pending != 0 || !job_covers(job, request->page))
            continue;
        job->nodes |= NODE_BIT(request->node);
        coherence_request_remove(coherence, coherence_table_find(coherence, request->page), request);
    }
}

static bool job_drained(const struct coherence *coherence, const struct coherence_job *job)
{
    for (const struct coherence_request *request = coherence->oldest; request != NULL; request = request->newer)
        if (request->pending != 0 && job_covers(job, request->page))
            return false;
    return true;
}

/* Does home lack what the job wants of this page, now or when what is under way is over? */
static bool job_wants(const struct coherence_job *job, const struct coherence_page *page)
{
    if (job->type == JOB_RECALL)
        return page->holders != HOME_BIT || page->state != PAGE_MODIFIED;
    return !(page->holders & HOME_BIT) || (page->flags & PAGE_BUSY);
}

static bool job_collect(struct coherence *coherence, struct coherence_job *job)
{
    struct coherence_block *block;
    while ((block = coherence_table_block(coherence, job->cursor, job->end)) != NULL) {
        if (job->cursor < block->first)
            job->cursor = block->first;
        uint64_t last = block->first + BLOCK_PAGES < job->end ? block->first + BLOCK_PAGES : job->end;
        while (job->cursor < last) {
            if (job->in_flight >= JOB_PAGES_MAX)
                return false;
            uint64_t number = job->cursor++;
            struct coherence_page *page = &block->pages[number - block->first];
            if (job->type == JOB_RECALL)
                job->nodes |= page->holders & ~HOME_BIT;
            if (!job_wants(job, page))
                continue;
            struct coherence_request *request =
                coherence_request_add(coherence, page, number, KIND_REQUEST, HOME_NODE,
                                      job->type == JOB_RECALL ? PAGE_MODIFIED : PAGE_SHARED);
            request->job = job;
            job->in_flight++;
            coherence_home_run(coherence, number);
        }
    }
    return job->in_flight == 0;
}

/* Home's copies of what is dropped: those that are current stay for home to unmap or to clear, the
 * others go. */
static void job_forget(struct coherence *coherence, struct coherence_job *job)
{
    struct coherence_block *block;
    for (uint64_t at = job->start; (block = coherence_table_block(coherence, at, job->end)) != NULL;) {
        for (unsigned i = 0; i < BLOCK_PAGES; i++) {
            struct coherence_page *page = &block->pages[i];
            if (!job_covers(job, block->first + i))
                continue;
            COHERENCE_ASSERT(!(page->flags & PAGE_BUSY));
            job->nodes |= page->holders & ~HOME_BIT;
            if ((page->holders & HOME_BIT) && page->state == PAGE_SHARED)
                coherence->operations.discard(coherence->context, block->first + i);
        }
        at = block->first + BLOCK_PAGES;
    }
    coherence_table_reset(coherence, job->start, job->end);
}

static void job_send(struct coherence *coherence, struct coherence_job *job)
{
    if (job->type == JOB_DROP)
        job_forget(coherence, job);
    job->nodes &= coherence->nodes;
    job->waiting = job->nodes;
    job->phase = PHASE_WAIT;
    for (uint64_t nodes = job->nodes; nodes != 0; nodes &= nodes - 1) {
        unsigned node = node_first(nodes);
        COHERENCE_ASSERT(coherence->range_sent[node] == coherence->range_done[node]);
        struct wire_range range = {
            .start = job->start << PAGE_SHIFT,
            .end = job->end << PAGE_SHIFT,
            .protection = job->protection,
            .sequence = ++coherence->range_sent[node],
        };
        struct wire_page message; /* of the same size: the operation takes both */
        _Static_assert(sizeof message == sizeof range, "a range travels as a page does");
        memcpy(&message, &range, sizeof message);
        coherence->operations.send(coherence->context, node,
                                   job->type == JOB_PROTECT ? WIRE_RANGE_PROTECT : WIRE_RANGE_DROP, &message, NULL);
    }
}

/* One step; true when the job is over, `*again` when another step may follow at once. */
static bool job_step(struct coherence *coherence, struct coherence_job *job, bool *again)
{
    *again = true;
    switch ((enum coherence_job_phase)job->phase) {
    case PHASE_START:
        job_start(coherence, job);
        return false;
    case PHASE_DRAIN:
        if (job_drained(coherence, job))
            job->phase = job->type == JOB_RECALL ? PHASE_COLLECT : PHASE_SEND;
        else
            *again = false;
        return false;
    case PHASE_COLLECT:
        if (!job_collect(coherence, job)) {
            *again = false;
            return false;
        }
        job->phase = PHASE_SEND;
        return job->type == JOB_FREEZE;
    case PHASE_SEND:
        job_send(coherence, job);
        return false;
    case PHASE_WAIT:
        *again = false;
        return job->waiting == 0;
    }
    return false;
}

/* Starts what waited for the pages [start, end). */
static void job_release(struct coherence *coherence, uint64_t start, uint64_t end)
{
    struct coherence_block *block;
    for (uint64_t at = start; (block = coherence_table_block(coherence, at, end)) != NULL;) {
        for (unsigned i = 0; i < BLOCK_PAGES; i++)
            if (block->pages[i].queue != 0)
                coherence_home_run(coherence, block->first + i);
        at = block->first + BLOCK_PAGES;
    }
}

void coherence_jobs_advance(struct coherence *coherence)
{
    if (coherence->advancing)
        return;
    coherence->advancing = true;
    struct coherence_job *job;
    bool again = true;
    while ((job = coherence->jobs) != NULL && again) {
        if (!job_step(coherence, job, &again))
            continue;
        again = true;
        coherence->jobs = job->next;
        coherence->operations.done(coherence->context, job->handle);
        if (job_forgets(job))
            job_release(coherence, job->start, job->end);
        free(job);
    }
    coherence->advancing = false;
}

/* ---- entry points ---------------------------------------------------------------------------- */

static void job_add(struct coherence *coherence, enum coherence_job_type type, uint64_t start, uint64_t end,
                    uint32_t protection, uint64_t nodes, void *handle)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE && start <= end);
    struct coherence_job *job = calloc(1, sizeof *job);
    COHERENCE_ASSERT(job != NULL);
    *job = (struct coherence_job){
        .handle = handle,
        .start = start > PAGE_FIRST ? start : PAGE_FIRST,
        .end = end < PAGE_END ? end : PAGE_END,
        .nodes = nodes & ~HOME_BIT,
        .since_ns = coherence_now_ns(coherence),
        .protection = protection,
        .type = (uint8_t)type,
    };
    job->cursor = job->start;
    if (job->start >= job->end) { /* nothing of it is coherent */
        job->end = job->start;
        job->nodes = 0;
    }
    struct coherence_job **link = &coherence->jobs;
    while (*link != NULL)
        link = &(*link)->next;
    *link = job;
    coherence_jobs_advance(coherence);
}

void coherence_drop(struct coherence *coherence, uint64_t start, uint64_t end, uint64_t nodes, void *job)
{
    job_add(coherence, JOB_DROP, start, end, 0, nodes, job);
}

void coherence_protect(struct coherence *coherence, uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes,
                       void *job)
{
    job_add(coherence, JOB_PROTECT, start, end, protection, nodes, job);
}

void coherence_recall(struct coherence *coherence, uint64_t start, uint64_t end, uint64_t nodes, void *job)
{
    job_add(coherence, JOB_RECALL, start, end, 0, nodes, job);
}

void coherence_freeze(struct coherence *coherence, void *job)
{
    job_add(coherence, JOB_FREEZE, 0, PAGE_END, 0, 0, job);
}

void coherence_thaw(struct coherence *coherence)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE);
    coherence->frozen = false;
    job_release(coherence, PAGE_FIRST, PAGE_END);
    coherence_jobs_advance(coherence);
}

int coherence_job_range_done(struct coherence *coherence, unsigned from, const struct wire_range *range)
{
    struct coherence_job *job = coherence->jobs;
    if (job == NULL || job->phase != PHASE_WAIT || !(job->waiting & NODE_BIT(from)) ||
        range->sequence != coherence->range_sent[from] || range->start != job->start << PAGE_SHIFT ||
        range->end != job->end << PAGE_SHIFT)
        return -EPROTO;
    job->waiting &= ~NODE_BIT(from);
    coherence->range_done[from] = range->sequence;
    return 0;
}

void coherence_jobs_node_lost(struct coherence *coherence, unsigned node)
{
    for (struct coherence_job *job = coherence->jobs; job != NULL; job = job->next) {
        job->nodes &= ~NODE_BIT(node);
        job->waiting &= ~NODE_BIT(node);
    }
}

void coherence_jobs_destroy(struct coherence *coherence)
{
    while (coherence->jobs != NULL) {
        struct coherence_job *next = coherence->jobs->next;
        free(coherence->jobs);
        coherence->jobs = next;
    }
}
