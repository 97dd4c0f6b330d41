/*
 * A simulated network of nodes that run the coherence protocol: memory, threads that fault, streams
 * that delay, and an oracle that knows what every read must return. Not for malformed messages:
 * test_coherence.c makes those itself.
 *
 * Time is simulated and everything is drawn from one seed. A thread's operation reads or writes
 * words of one to four pages at once, as an instruction does: it runs when all of them are there,
 * and faults on the first that is not.
 */
#ifndef COHERENCE_NETWORK_H
#define COHERENCE_NETWORK_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/coherence.h"

#define SIM_NODES   6
#define SIM_PAGES   24
#define SIM_THREADS 4 /* on each node */
#define SIM_WORDS   8 /* of a page that are used */
#define SIM_FIRST                                                                                  \
    ((SPAN_ZONE_START >> PAGE_SHIFT) + 512 * 7 - SIM_PAGES / 2 - 16) /* across two blocks */
#define SIM_SPAN    4
#define SIM_WAIT_NS 400000000ull /* no operation takes longer, in simulated time */

enum sim_event_type { EVENT_THREAD, EVENT_FAULT, EVENT_MESSAGE, EVENT_TICK, EVENT_JOB, EVENT_THAW };

struct sim_message {
    struct sim_message *next;
    uint64_t at_ns;
    uint32_t type, bytes;
    uint8_t payload[sizeof(struct wire_page) + PAGE_BYTES];
};

struct sim_event {
    uint64_t at_ns, order;
    uint8_t type, node, other;
    bool write;
    uint32_t page;
    uint32_t generation;
};

struct sim_page {
    bool mapped, present, writable;
    uint64_t words[PAGE_BYTES / 8];
};

struct sim_thread {
    unsigned count;
    unsigned pages[SIM_SPAN];
    bool writes[SIM_SPAN];
    unsigned word;
    bool active;
    int blocked; /* page, -1: none */
    uint64_t since_ns;
    unsigned faults;
};

struct sim_stream {
    struct sim_message *first, **last;
    uint64_t busy_until_ns;
};

struct sim_job {
    char kind; /* d, p, r, f */
    unsigned start, end;
    bool running;
};

struct sim_node {
    struct coherence *coherence;
    struct sim *sim;
    unsigned number;
    bool alive;
    uint32_t tick_generation;
    struct sim_page pages[SIM_PAGES];
    struct sim_page other; /* stands for all others when messages are made up */
    struct sim_thread threads[SIM_THREADS];
};

/* What a run is made of; probabilities in 1/1000 of an operation. */
struct sim_shape {
    unsigned peers, threads, pages;
    uint64_t hold_ns;
    unsigned write_share; /* of accesses, in 1/1000 */
    unsigned span_share;  /* of operations that need several pages */
    unsigned job_share;   /* of operations that start a job, when none runs */
    unsigned gone_share;  /* of installs that find no mapping */
    uint64_t latency_ns;  /* of a message, mean */
};

struct sim {
    struct sim_shape shape;
    uint64_t seed, now_ns, order;
    struct sim_node nodes[SIM_NODES];
    struct sim_stream streams[SIM_NODES][SIM_NODES];
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    struct sim_job job;
    uint64_t oracle[SIM_PAGES][SIM_WORDS];
    uint64_t written;         /* value of the last write */
    bool loose[SIM_PAGES];    /* being dropped: anything may be read */
    bool doubtful[SIM_PAGES]; /* a node died: the latest contents, or all zero */
    size_t lost, lost_seen;
    uint32_t epoch[SIM_PAGES];
    unsigned writer[SIM_PAGES];
    bool frozen;
    bool fuzzed;      /* messages are made up: of what nodes agree on, nothing is expected */
    bool alone;       /* nothing is delivered */
    bool refused;     /* a fuzzed message was */
    bool resting;     /* threads end what they do and begin nothing */
    unsigned in_call; /* node whose coherence is at work + 1: operations must not nest */
    uint64_t operations, faults, jobs, gone, longest_ns, messages, operations_of[SIM_NODES];
};

static _Noreturn void sim_fail(const struct sim *sim, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "simulation at %" PRIu64 " ns, operation %" PRIu64 ": ", sim->now_ns,
            sim->operations);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}
#define SIM_ASSERT(sim, condition, ...)                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sim_fail(sim, __VA_ARGS__);                                                            \
    } while (0)

static uint64_t sim_random(struct sim *sim)
{
    uint64_t z = (sim->seed += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t sim_below(struct sim *sim, uint64_t limit)
{
    return sim_random(sim) % limit;
}

static bool sim_chance(struct sim *sim, unsigned in_1000)
{
    return sim_below(sim, 1000) < in_1000;
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void event_add(struct sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? 2 * sim->heap_capacity : 256;
        sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof *sim->heap);
    }
    event.order = sim->order++;
    size_t at = sim->heap_count++;
    for (; at > 0 && event_before(&event, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = event;
}

static struct sim_event event_take(struct sim *sim)
{
    struct sim_event first = sim->heap[0], last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && event_before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (event_before(&last, &sim->heap[child]))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

static void thread_schedule(struct sim *sim, unsigned node, unsigned thread, uint64_t in_ns)
{
    event_add(sim, (struct sim_event){.at_ns = sim->now_ns + in_ns,
                                      .type = EVENT_THREAD,
                                      .node = (uint8_t)node,
                                      .other = (uint8_t)thread});
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct sim_page *sim_page(struct sim_node *node, uint64_t page)
{
    bool known = page >= SIM_FIRST && page < SIM_FIRST + SIM_PAGES;
    SIM_ASSERT(node->sim, known || node->sim->fuzzed, "page %" PRIx64, page);
    if (!known)
        return &node->other;
    SIM_ASSERT(node->sim, node->sim->in_call == node->number + 1,
               "operation of node %u out of turn", node->number);
    return &node->pages[page - SIM_FIRST];
}

static void operation_wake(void *context, uint64_t number)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    int page = (int)(number - SIM_FIRST);
    sim_page(node, number);
    for (unsigned i = 0; i < sim->shape.threads; i++) {
        if (node->threads[i].blocked != page)
            continue;
        node->threads[i].blocked = -1;
        thread_schedule(sim, node->number, i,
                        sim_chance(sim, 100) ? sim_below(sim, 100000) : sim_below(sim, 3000));
    }
}

static void sim_check_permission(struct sim *sim, unsigned page)
{
    if (sim->fuzzed || sim->loose[page])
        return;
    unsigned present = 0, writable = 0;
    for (unsigned i = 0; i <= sim->shape.peers; i++) {
        present += sim->nodes[i].alive && sim->nodes[i].pages[page].present;
        writable += sim->nodes[i].alive && sim->nodes[i].pages[page].present &&
                    sim->nodes[i].pages[page].writable;
    }
    SIM_ASSERT(sim, writable == 0 || present == 1, "page %u: %u copies, %u of them writable", page,
               present, writable);
}

static void operation_send(void *context, unsigned to, enum wire_type type,
                           const struct wire_page *message, const void *data)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    SIM_ASSERT(sim,
               to <= sim->shape.peers && (node->number == 0) != (to == 0) && sim->nodes[to].alive,
               "node %u sends to %u", node->number, to);
    if (sim->alone)
        return;
    SIM_ASSERT(sim,
               type != WIRE_PAGE_REQUEST || sim->fuzzed || sim->shape.gone_share != 0 ||
                   node->pages[message->page - SIM_FIRST].mapped,
               "node %u asks for a page that it has unmapped", node->number);
    struct sim_stream *stream = &sim->streams[node->number][to];
    struct sim_message *copy = malloc(sizeof *copy);
    if (sim->fuzzed)
        memset(copy, 0, sizeof *copy);
    copy->next = NULL;
    copy->type = type;
    copy->bytes = sizeof *message + (data != NULL ? PAGE_BYTES : 0);
    memcpy(copy->payload, message, sizeof *message);
    if (data != NULL)
        memcpy(copy->payload + sizeof *message, data, PAGE_BYTES);
    uint64_t delay_ns = sim->shape.latency_ns / 4 + sim_below(sim, sim->shape.latency_ns * 3 / 2);
    if (sim_chance(sim, 5))
        delay_ns *= 20;
    copy->at_ns = sim->now_ns + delay_ns;
    if (copy->at_ns < stream->busy_until_ns)
        copy->at_ns = stream->busy_until_ns;
    stream->busy_until_ns = copy->at_ns;
    if (stream->last == NULL)
        stream->last = &stream->first;
    *stream->last = copy;
    stream->last = &copy->next;
    event_add(sim, (struct sim_event){.at_ns = copy->at_ns,
                                      .type = EVENT_MESSAGE,
                                      .node = (uint8_t)node->number,
                                      .other = (uint8_t)to});
}

static int operation_protect(void *context, uint64_t number)
{
    struct sim_page *page = sim_page(context, number);
    page->writable = false;
    return page->mapped ? 0 : -ENOENT;
}

static int operation_unprotect(void *context, uint64_t number)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    if (!page->mapped)
        return -ENOENT;
    SIM_ASSERT(node->sim, node->sim->fuzzed || page->present,
               "node %u unprotects page %" PRIu64 ", which is not there", node->number,
               number - SIM_FIRST);
    page->writable = true;
    sim_check_permission(node->sim, (unsigned)(number - SIM_FIRST));
    operation_wake(context, number);
    return 0;
}

static int operation_install(void *context, uint64_t number, const void *data, bool writable)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    if (page->mapped && !page->present && node->number != 0 &&
        sim_chance(node->sim, node->sim->shape.gone_share)) {
        page->mapped = false;
        node->sim->gone++;
    }
    if (!page->mapped)
        return -ENOENT;
    if (page->present)
        return -EEXIST;
    if (data != NULL)
        memcpy(page->words, data, PAGE_BYTES);
    else
        memset(page->words, 0, PAGE_BYTES);
    page->present = true;
    page->writable = writable;
    sim_check_permission(node->sim, (unsigned)(number - SIM_FIRST));
    operation_wake(context, number);
    return 0;
}

static int operation_read(void *context, uint64_t number, void *data, bool populate)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    if (!page->mapped)
        return -ENOENT;
    if (!page->present && !populate)
        return -ENOENT;
    if (!page->present) {
        memset(page->words, 0, PAGE_BYTES);
        page->present = true;
        page->writable = false;
    }
    memcpy(data, page->words, PAGE_BYTES);
    for (unsigned i = 0; i < SIM_WORDS; i++)
        if (page->words[i] != 0)
            return 0;
    return 1;
}

static void operation_discard(void *context, uint64_t number)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    SIM_ASSERT(node->sim, node->sim->fuzzed || !page->present || !page->writable,
               "node %u discards page %" PRIu64 " unprotected", node->number, number - SIM_FIRST);
    page->present = false;
}

static int operation_take(void *context, uint64_t number, void *data, bool force)
{
    struct sim_node *node = context;
    if (!force && sim_chance(node->sim, 100))
        return -EBUSY;
    int result = operation_protect(context, number);
    if (result == 0)
        result = operation_read(context, number, data, true);
    if (result >= 0)
        operation_discard(context, number);
    return result;
}

static uint64_t operation_now_ns(void *context)
{
    return ((struct sim_node *)context)->sim->now_ns;
}

static void operation_range(void *context, enum wire_type type, const struct wire_range *range)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    if (sim->fuzzed) {
        for (uint64_t page = range->start >> PAGE_SHIFT; page < range->end >> PAGE_SHIFT; page++)
            if (type == WIRE_RANGE_DROP && page >= SIM_FIRST && page < SIM_FIRST + SIM_PAGES)
                node->pages[page - SIM_FIRST].present = false;
        return;
    }
    SIM_ASSERT(sim, node->number != 0 && sim->job.running, "range message without a job");
    SIM_ASSERT(sim, (type == WIRE_RANGE_PROTECT) == (sim->job.kind == 'p'),
               "range message of another type");
    SIM_ASSERT(sim,
               range->start >> PAGE_SHIFT == sim->job.start + SIM_FIRST &&
                   range->end >> PAGE_SHIFT == sim->job.end + SIM_FIRST,
               "another range");
    if (type == WIRE_RANGE_PROTECT)
        return;
    for (unsigned i = sim->job.start; i < sim->job.end; i++)
        node->pages[i].mapped = node->pages[i].present = node->pages[i].writable = false;
}

/* Home's copy is current: what a fork or a call at home sees. */
static void sim_check_home(struct sim *sim, unsigned page, bool alone)
{
    const struct sim_page *home = &sim->nodes[0].pages[page];
    if (sim->fuzzed)
        return;
    SIM_ASSERT(sim,
               home->present || coherence_state(sim->nodes[0].coherence, page + SIM_FIRST, NULL) ==
                                    PAGE_MODIFIED,
               "page %u is not at home", page);
    for (unsigned i = 0; i < SIM_WORDS && !sim->doubtful[page]; i++) {
        uint64_t value = home->present ? home->words[i] : 0;
        SIM_ASSERT(sim, value == sim->oracle[page][i], "page %u at home is stale", page);
    }
    for (unsigned i = 1; i <= sim->shape.peers; i++) {
        const struct sim_page *copy = &sim->nodes[i].pages[page];
        SIM_ASSERT(sim, !sim->nodes[i].alive || !copy->present || (!alone && !copy->writable),
                   "page %u is still on node %u", page, i);
    }
}

static void operation_done(void *context, void *handle)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    SIM_ASSERT(sim, handle == &sim->job && sim->job.running && node->number == 0,
               "a job is done twice");
    for (unsigned i = sim->job.start; i < sim->job.end; i++) {
        switch (sim->job.kind) {
        case 'd':
            for (unsigned peer = 1; peer <= sim->shape.peers && !sim->fuzzed; peer++)
                SIM_ASSERT(sim, !sim->nodes[peer].alive || !sim->nodes[peer].pages[i].present,
                           "page %u survives its drop on node %u", i, peer);
            sim->nodes[0].pages[i].present = sim->nodes[0].pages[i].writable = false;
            memset(sim->oracle[i], 0, sizeof sim->oracle[i]);
            sim->loose[i] = sim->doubtful[i] = false;
            sim->epoch[i] = 0;
            sim->writer[i] = SIM_NODES;
            break;
        case 'r':
            sim_check_home(sim, i, true);
            SIM_ASSERT(sim,
                       sim->fuzzed ||
                           coherence_state(node->coherence, i + SIM_FIRST, NULL) == PAGE_MODIFIED,
                       "page %u is not modified at home", i);
            break;
        case 'f':
            sim_check_home(sim, i, false);
            break;
        }
    }
    if (sim->job.kind == 'f') {
        sim->frozen = true;
        event_add(sim, (struct sim_event){.at_ns = sim->now_ns + sim_below(sim, 300000),
                                          .type = EVENT_THAW});
    }
    sim->job.running = false;
    sim->jobs++;
}

static const struct coherence_operations sim_operations = {
    .send = operation_send,
    .protect = operation_protect,
    .unprotect = operation_unprotect,
    .install = operation_install,
    .wake = operation_wake,
    .read = operation_read,
    .discard = operation_discard,
    .take = operation_take,
    .now_ns = operation_now_ns,
    .range = operation_range,
    .done = operation_done,
};

/* ---- threads --------------------------------------------------------------------------------- */

static void thread_choose(struct sim *sim, struct sim_thread *thread)
{
    unsigned limit =
        sim_chance(sim, 300) ? sim->shape.pages : 1 + (sim->shape.pages - 1) / 4; /* some are hot */
    thread->count =
        sim_chance(sim, sim->shape.span_share) ? 2 + (unsigned)sim_below(sim, SIM_SPAN - 1) : 1;
    if (thread->count > sim->shape.pages)
        thread->count = sim->shape.pages;
    unsigned first = (unsigned)sim_below(sim, limit);
    bool write = sim_chance(sim, sim->shape.write_share);
    for (unsigned i = 0; i < thread->count; i++) {
        thread->pages[i] = (first + i) % sim->shape.pages;
        thread->writes[i] = write;
        if (sim_chance(sim, 200))
            write = !write;
    }
    thread->word = (unsigned)sim_below(sim, SIM_WORDS);
    thread->active = true;
    thread->since_ns = sim->now_ns;
    thread->faults = 0;
}

/*
 * After a death: all of the latest, or all zero and told. A sharer may read the latest yet while
 * the recall that takes it without contents is on its way, for the node that was to send them is
 * dead; so doubt ends with the next write.
 */
static void page_settle(struct sim *sim, unsigned page, const struct sim_page *copy, bool write)
{
    bool zero = true, latest = true;
    for (unsigned i = 0; i < SIM_WORDS; i++) {
        zero &= copy->words[i] == 0;
        latest &= copy->words[i] == sim->oracle[page][i];
    }
    SIM_ASSERT(sim, zero || latest, "page %u is neither current nor lost", page);
    if (!latest) {
        memset(sim->oracle[page], 0, sizeof sim->oracle[page]);
        sim->lost_seen++;
        SIM_ASSERT(sim, sim->lost_seen <= sim->lost, "page %u was lost and not told", page);
    }
    sim->doubtful[page] = !write;
}

static void thread_access(struct sim *sim, struct sim_node *node, const struct sim_thread *thread,
                          unsigned i)
{
    unsigned page = thread->pages[i];
    struct sim_page *copy = &node->pages[page];
    if (sim->loose[page] || sim->fuzzed)
        return;
    sim_check_permission(sim, page);
    if (sim->doubtful[page])
        page_settle(sim, page, copy, thread->writes[i]);
    uint64_t expected = sim->oracle[page][thread->word];
    SIM_ASSERT(sim, copy->words[thread->word] == expected,
               "node %u reads %" PRIu64 " from page %u, not %" PRIu64, node->number,
               copy->words[thread->word], page, expected);
    uint32_t epoch;
    enum page_state state = coherence_state(node->coherence, page + SIM_FIRST, &epoch);
    SIM_ASSERT(sim, epoch >= sim->epoch[page], "page %u: epoch %u after %u", page, epoch,
               sim->epoch[page]);
    SIM_ASSERT(sim, state >= (thread->writes[i] ? PAGE_MODIFIED : PAGE_SHARED),
               "page %u is used in state %d", page, state);
    if (!thread->writes[i])
        return;
    SIM_ASSERT(sim,
               sim->writer[page] == node->number || sim->writer[page] == SIM_NODES ||
                   epoch > sim->epoch[page],
               "page %u: written twice in epoch %u", page, epoch);
    SIM_ASSERT(sim, !sim->frozen || node->number == 0, "node %u writes while frozen", node->number);
    sim->writer[page] = node->number;
    sim->epoch[page] = epoch;
    sim->oracle[page][thread->word] = copy->words[thread->word] = ++sim->written;
}

static void thread_step(struct sim *sim, unsigned number, unsigned index)
{
    struct sim_node *node = &sim->nodes[number];
    struct sim_thread *thread = &node->threads[index];
    if (!node->alive)
        return;
    if (!thread->active && sim->resting)
        return;
    if (!thread->active)
        thread_choose(sim, thread);
    for (unsigned i = 0; i < thread->count; i++) {
        unsigned page = thread->pages[i];
        struct sim_page *copy = &node->pages[page];
        if (copy->present && (copy->writable || !thread->writes[i]))
            continue;
        if (!copy->mapped) { /* asks home for the mapping, which waits for jobs that change it */
            if (!sim->job.running || page < sim->job.start || page >= sim->job.end ||
                sim->job.kind == 'f')
                copy->mapped = true;
            thread_schedule(sim, number, index, 10000 + sim_below(sim, 100000));
            return;
        }
        thread->blocked = (int)page;
        thread->faults++;
        sim->faults++;
        event_add(sim, (struct sim_event){.at_ns = sim->now_ns + 500 + sim_below(sim, 3000),
                                          .type = EVENT_FAULT,
                                          .node = (uint8_t)number,
                                          .page = page,
                                          .write = thread->writes[i]});
        return;
    }
    for (unsigned i = 0; i < thread->count; i++)
        thread_access(sim, node, thread, i);
    if (sim->now_ns - thread->since_ns > sim->longest_ns)
        sim->longest_ns = sim->now_ns - thread->since_ns;
    SIM_ASSERT(sim, sim->fuzzed || sim->now_ns - thread->since_ns < SIM_WAIT_NS,
               "node %u waited %" PRIu64 " ns, %u faults", number, sim->now_ns - thread->since_ns,
               thread->faults);
    thread->active = false;
    sim->operations++;
    sim->operations_of[number]++;
    thread_schedule(sim, number, index, 200 + sim_below(sim, 4000));
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void node_tick(struct sim *sim, struct sim_node *node)
{
    sim->in_call = node->number + 1;
    uint64_t due_ns = coherence_tick(node->coherence);
    sim->in_call = 0;
    node->tick_generation++;
    if (due_ns != UINT64_MAX)
        event_add(sim, (struct sim_event){.at_ns = sim->now_ns + due_ns,
                                          .type = EVENT_TICK,
                                          .node = (uint8_t)node->number,
                                          .generation = node->tick_generation});
}

static void message_deliver(struct sim *sim, unsigned from, unsigned to)
{
    struct sim_stream *stream = &sim->streams[from][to];
    struct sim_message *message = stream->first;
    if (message == NULL || message->at_ns > sim->now_ns)
        return; /* cut off by a death */
    stream->first = message->next;
    if (stream->first == NULL)
        stream->last = &stream->first;
    if (sim->fuzzed &&
        sim_chance(sim, 20)) { /* its small fields become others, and now and then the page */
        size_t at = sim_chance(sim, 100) ? 0 : 8 + sim_below(sim, 12);
        message->payload[at] = (uint8_t)(message->payload[at] ^ (1u << sim_below(sim, 3)));
        if ((message->payload[offsetof(struct wire_page, flags)] & WIRE_PAGE_DATA) &&
            message->type < WIRE_RANGE_DROP)
            message->bytes = sizeof message->payload;
    }
    sim->in_call = to + 1;
    int result = coherence_message(sim->nodes[to].coherence, from, message->type, message->payload,
                                   message->bytes);
    sim->refused |= result == -EPROTO;
    SIM_ASSERT(sim, result == 0 || (sim->fuzzed && sim->refused),
               "message of type %u from node %u to node %u is refused: %d", message->type, from, to,
               result);
    sim->messages++;
    free(message);
    node_tick(sim, &sim->nodes[to]);
}

static void sim_start_job(struct sim *sim)
{
    struct sim_job *job = &sim->job;
    if (job->running || sim->frozen)
        return;
    struct coherence *home = sim->nodes[0].coherence;
    job->kind = "ddprf"[sim_below(sim, 5)];
    job->start = (unsigned)sim_below(sim, sim->shape.pages);
    job->end = job->start + 1 + (unsigned)sim_below(sim, sim->shape.pages - job->start);
    if (job->kind == 'f') {
        job->start = 0;
        job->end = sim->shape.pages;
    }
    job->running = true;
    uint64_t start = job->start + SIM_FIRST, end = job->end + SIM_FIRST, nodes = 0;
    for (unsigned peer = 1; peer <= sim->shape.peers; peer++)
        for (unsigned i = job->start; i < job->end; i++)
            nodes |= (uint64_t)(sim->nodes[peer].alive && sim->nodes[peer].pages[i].mapped) << peer;
    sim->in_call = 1;
    switch (job->kind) {
    case 'd':
        for (unsigned i = job->start; i < job->end; i++)
            sim->loose[i] = true;
        coherence_drop(home, start, end, nodes, job);
        break;
    case 'p':
        coherence_protect(home, start, end, 1, nodes, job);
        break;
    case 'r':
        coherence_recall(home, start, end, nodes, job);
        break;
    case 'f':
        coherence_freeze(home, job);
        break;
    }
    sim->in_call = 0;
    node_tick(sim, &sim->nodes[0]);
}

static void sim_thaw(struct sim *sim)
{
    for (unsigned i = 0; i < sim->shape.pages; i++)
        sim_check_home(sim, i, false);
    sim->frozen = false;
    sim->in_call = 1;
    coherence_thaw(sim->nodes[0].coherence);
    sim->in_call = 0;
    node_tick(sim, &sim->nodes[0]);
}

static void sim_kill(struct sim *sim, unsigned number)
{
    struct sim_node *node = &sim->nodes[number];
    node->alive = false;
    for (unsigned direction = 0; direction < 2; direction++) {
        struct sim_stream *stream = direction ? &sim->streams[0][number] : &sim->streams[number][0];
        while (stream->first != NULL) {
            struct sim_message *next = stream->first->next;
            free(stream->first);
            stream->first = next;
        }
        stream->last = &stream->first;
    }
    for (unsigned i = 0; i < sim->shape.pages; i++)
        sim->doubtful[i] = true;
    sim->in_call = 1;
    sim->lost += coherence_node_lost(sim->nodes[0].coherence, number);
    sim->in_call = 0;
    node_tick(sim, &sim->nodes[0]);
}

static void sim_check_waits(struct sim *sim)
{
    for (unsigned i = 0; i <= sim->shape.peers; i++) {
        uint64_t page, since_ns;
        unsigned waits_for;
        if (!sim->nodes[i].alive)
            continue;
        coherence_check(sim->nodes[i].coherence);
        if (coherence_oldest_wait(sim->nodes[i].coherence, &page, &since_ns, &waits_for))
            SIM_ASSERT(sim, sim->now_ns - since_ns < SIM_WAIT_NS,
                       "node %u waits for %u, page %" PRId64, i, waits_for,
                       (int64_t)(page - SIM_FIRST));
        for (unsigned t = 0; t < sim->shape.threads; t++)
            SIM_ASSERT(sim,
                       !sim->nodes[i].threads[t].active ||
                           sim->now_ns - sim->nodes[i].threads[t].since_ns < SIM_WAIT_NS,
                       "thread %u of node %u waits for page %d", t, i,
                       sim->nodes[i].threads[t].blocked);
    }
}

static void sim_run_until(struct sim *sim, uint64_t until)
{
    uint64_t events = 0;
    while (sim->operations < until && !sim->refused) {
        if (sim->heap_count == 0 && (sim->fuzzed || sim->resting))
            return;
        SIM_ASSERT(sim, sim->heap_count != 0, "nothing happens any more");
        struct sim_event event = event_take(sim);
        struct sim_node *node = &sim->nodes[event.node];
        sim->now_ns = event.at_ns;
        if (++events % 4096 == 0 && !sim->fuzzed)
            sim_check_waits(sim);
        switch ((enum sim_event_type)event.type) {
        case EVENT_THREAD:
            if (!sim->resting && sim_below(sim, 100000) < sim->shape.job_share)
                sim_start_job(sim);
            thread_step(sim, event.node, event.other);
            break;
        case EVENT_FAULT:
            if (!node->alive)
                break;
            sim->in_call = event.node + 1u;
            coherence_fault(node->coherence, event.page + SIM_FIRST, event.write);
            sim->in_call = 0;
            node_tick(sim, node);
            break;
        case EVENT_MESSAGE:
            message_deliver(sim, event.node, event.other);
            break;
        case EVENT_TICK:
            if (node->alive && event.generation == node->tick_generation)
                node_tick(sim, node);
            break;
        case EVENT_THAW:
            sim_thaw(sim);
            break;
        case EVENT_JOB:
            sim_start_job(sim);
            break;
        }
    }
}

/* Threads begin nothing until all is quiet: then nobody may wait for anything, and all that was
 * lost on the way shows. */
static void sim_rest(struct sim *sim)
{
    sim->resting = true;
    sim_run_until(sim, UINT64_MAX);
    sim->resting = false;
    SIM_ASSERT(sim, !sim->job.running && !sim->frozen, "a job never ends");
    for (unsigned i = 0; i <= sim->shape.peers; i++) {
        struct sim_node *node = &sim->nodes[i];
        uint64_t page, since_ns;
        unsigned waits_for;
        if (!node->alive)
            continue;
        coherence_check(node->coherence);
        SIM_ASSERT(sim, !coherence_oldest_wait(node->coherence, &page, &since_ns, &waits_for),
                   "node %u waits for page %" PRId64 " for ever", i, (int64_t)(page - SIM_FIRST));
        for (unsigned t = 0; t < sim->shape.threads; t++) {
            SIM_ASSERT(sim, !node->threads[t].active,
                       "thread %u of node %u waits for page %d for ever", t, i,
                       node->threads[t].blocked);
            thread_schedule(sim, i, t, sim_below(sim, 10000));
        }
    }
}

static void sim_run(struct sim *sim, uint64_t operations)
{
    for (uint64_t done = 0; done < operations && !sim->refused;) {
        uint64_t step = operations - done < 3000 ? operations - done : 3000;
        sim_run_until(sim, sim->operations + step);
        done += step;
        if (!sim->fuzzed && step == 3000)
            sim_rest(sim);
    }
}

static struct sim *sim_create(const struct sim_shape *shape, uint64_t seed)
{
    struct sim *sim = calloc(1, sizeof *sim);
    sim->shape = *shape;
    sim->seed = seed;
    sim->now_ns = 1000000000u;
    for (unsigned i = 0; i < SIM_PAGES; i++)
        sim->writer[i] = SIM_NODES;
    for (unsigned i = 0; i <= shape->peers; i++) {
        struct sim_node *node = &sim->nodes[i];
        node->sim = sim;
        node->number = i;
        node->alive = true;
        node->coherence = coherence_create(i, &sim_operations, node, shape->hold_ns);
        if (i != 0)
            coherence_node_add(sim->nodes[0].coherence, i);
        for (unsigned page = 0; page < SIM_PAGES; page++)
            node->pages[page].mapped = i == 0 || page % 2 == 0;
        for (unsigned t = 0; t < shape->threads; t++) {
            node->threads[t].blocked = -1;
            thread_schedule(sim, i, t, sim_below(sim, 10000));
        }
    }
    return sim;
}

static void sim_destroy(struct sim *sim)
{
    for (unsigned i = 0; i <= sim->shape.peers; i++) {
        for (unsigned j = 0; j <= sim->shape.peers; j++) {
            while (sim->streams[i][j].first != NULL) {
                struct sim_message *next = sim->streams[i][j].first->next;
                free(sim->streams[i][j].first);
                sim->streams[i][j].first = next;
            }
        }
        coherence_destroy(sim->nodes[i].coherence);
    }
    free(sim->heap);
    free(sim);
}

#endif
