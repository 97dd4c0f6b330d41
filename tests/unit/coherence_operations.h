/*
 * The operations of a simulated node, as runtime/coherence.h asks for them: pages that are bytes, messages that are
 * delayed.
 */
#ifndef COHERENCE_OPERATIONS_H
#define COHERENCE_OPERATIONS_H

#include "tests/unit/coherence_sim.h"

/* ---- operations ------------------------------------------------------------------------------ */

static struct sim_page *sim_page(struct sim_node *node, uint64_t page)
{
    bool known = page >= SIM_FIRST && page < SIM_FIRST + SIM_PAGES;
    SIM_ASSERT(node->sim, known || node->sim->fuzzed, "page %" PRIx64, page);
    if (!known)
        return &node->other;
    SIM_ASSERT(node->sim, node->sim->in_call == node->number + 1, "operation of node %u out of turn", node->number);
    return &node->pages[page - SIM_FIRST];
}

/* As a pager that installs pages some time after it has promised to. */
static void sim_promise_keep(struct sim_node *node, uint64_t number)
{
    struct sim_page *page = sim_page(node, number);
    bool fails = page->promised && page->present && sim_chance(node->sim, node->sim->shape.gone_share);
    page->promised = false;
    if (!fails)
        return;
    uint64_t words[PAGE_BYTES / 8];
    memcpy(words, page->words, sizeof words);
    page->mapped = page->present = page->writable = false;
    node->sim->gone++;
    coherence_install_failed(node->coherence, number, words);
}

static void operation_wake(void *context, uint64_t number)
{
    struct sim_node *node = context;
    sim_promise_keep(node, number);
    struct sim *sim = node->sim;
    int page = (int)(number - SIM_FIRST);
    sim_page(node, number);
    for (unsigned i = 0; i < sim->shape.threads; i++) {
        if (node->threads[i].blocked != page)
            continue;
        node->threads[i].blocked = -1;
        thread_schedule(sim, node->number, i, sim_chance(sim, 100) ? sim_below(sim, 100000) : sim_below(sim, 3000));
    }
}

static void sim_check_permission(struct sim *sim, unsigned page)
{
    if (sim->fuzzed || sim->loose[page])
        return;
    unsigned present = 0, writable = 0;
    for (unsigned i = 0; i <= sim->shape.peers; i++) {
        present += sim->nodes[i].alive && sim->nodes[i].pages[page].present;
        writable += sim->nodes[i].alive && sim->nodes[i].pages[page].present && sim->nodes[i].pages[page].writable;
    }
    SIM_ASSERT(sim, writable == 0 || present == 1, "page %u: %u copies, %u of them writable", page, present, writable);
}

static void operation_send(void *context, unsigned to, enum wire_type type, const struct wire_page *message,
                           const void *data)
{
    struct sim_node *node = context;
    struct sim *sim = node->sim;
    SIM_ASSERT(sim, to <= sim->shape.peers && (node->number == 0) != (to == 0) && sim->nodes[to].alive,
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
    event_add(sim,
              (struct sim_event){
                  .at_ns = copy->at_ns, .type = EVENT_MESSAGE, .node = (uint8_t)node->number, .other = (uint8_t)to});
}

/* As a pager that protects many pages at once. */
static void sim_protect_neighbours(struct sim_node *node, uint64_t number)
{
    if (node->sim->fuzzed || number < SIM_FIRST || !sim_chance(node->sim, 300))
        return;
    for (uint64_t page = number & ~3ull; page < (number | 3) + 1; page++)
        if (page >= SIM_FIRST && page < SIM_FIRST + SIM_PAGES && node->pages[page - SIM_FIRST].held == 0)
            node->pages[page - SIM_FIRST].writable = false;
}

static int operation_protect(void *context, uint64_t number)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    SIM_ASSERT(node->sim, page->held == 0 || node->sim->fuzzed,
               "page %" PRIu64 " is protected while the kernel holds it", number - SIM_FIRST);
    page->writable = false;
    sim_protect_neighbours(node, number);
    return page->mapped ? 0 : -ENOENT;
}

static int operation_unprotect(void *context, uint64_t number)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    if (!page->mapped)
        return -ENOENT;
    SIM_ASSERT(node->sim, node->sim->fuzzed || node->sim->protected || page->present,
               "node %u unprotects page %" PRIu64 ", which is not there", node->number, number - SIM_FIRST);
    if (!page->present) { /* gone since the fault: there will be another */
        operation_wake(context, number);
        return 0;
    }
    page->writable = true;
    sim_check_permission(node->sim, (unsigned)(number - SIM_FIRST));
    operation_wake(context, number);
    return 0;
}

static int operation_install(void *context, uint64_t number, const void *data, bool writable)
{
    struct sim_node *node = context;
    struct sim_page *page = sim_page(node, number);
    if (page->mapped && !page->present && node->number != 0 && sim_chance(node->sim, node->sim->shape.gone_share)) {
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
    page->promised = node->number != 0 && data != NULL && !node->sim->fuzzed;
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

static int operation_seal(void *context, uint64_t number)
{
    struct sim_node *node = context;
    SIM_ASSERT(node->sim, node->number == 0, "node %u seals a page", node->number);
    if (sim_page(node, number)->held != 0 || sim_chance(node->sim, 20))
        return -EBUSY;
    return operation_protect(context, number);
}

static int operation_take(void *context, uint64_t number, void *data, bool force)
{
    struct sim_node *node = context;
    if (!force && (sim_page(node, number)->held != 0 || sim_chance(node->sim, 100)))
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
    SIM_ASSERT(sim, (type == WIRE_RANGE_PROTECT) == (sim->job.kind == 'p'), "range message of another type");
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
    SIM_ASSERT(sim, home->present || coherence_state(sim->nodes[0].coherence, page + SIM_FIRST, NULL) == PAGE_MODIFIED,
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
    SIM_ASSERT(sim, handle == &sim->job && sim->job.running && node->number == 0, "a job is done twice");
    for (unsigned i = sim->job.start; i < sim->job.end; i++) {
        switch (sim->job.kind) {
        case 'd':
            for (unsigned peer = 1; peer <= sim->shape.peers && !sim->fuzzed; peer++)
                SIM_ASSERT(sim, !sim->nodes[peer].alive || !sim->nodes[peer].pages[i].present,
                           "page %u survives its drop on node %u", i, peer);
            sim->nodes[0].pages[i].present = sim->nodes[0].pages[i].writable = false;
            sim->nodes[0].pages[i].drops++;
            sim->nodes[0].pages[i].held = 0; /* what is written yet goes to a page that nobody has */
            memset(sim->oracle[i], 0, sizeof sim->oracle[i]);
            sim->loose[i] = sim->doubtful[i] = false;
            sim->epoch[i] = 0;
            sim->writer[i] = SIM_NODES;
            break;
        case 'r':
            sim_check_home(sim, i, true);
            SIM_ASSERT(sim, sim->fuzzed || coherence_state(node->coherence, i + SIM_FIRST, NULL) == PAGE_MODIFIED,
                       "page %u is not modified at home", i);
            break;
        case 'f':
            sim_check_home(sim, i, false);
            break;
        }
    }
    if (sim->job.kind == 'f') {
        sim->frozen = true;
        event_add(sim, (struct sim_event){.at_ns = sim->now_ns + sim_below(sim, 300000), .type = EVENT_THAW});
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
    .seal = operation_seal,
    .now_ns = operation_now_ns,
    .range = operation_range,
    .done = operation_done,
};

#endif
