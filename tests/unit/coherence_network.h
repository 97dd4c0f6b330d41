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

#include "tests/unit/coherence_operations.h"

/* ---- threads --------------------------------------------------------------------------------- */

static void thread_choose(struct sim *sim, struct sim_thread *thread)
{
    unsigned limit = sim_chance(sim, 300) ? sim->shape.pages : 1 + (sim->shape.pages - 1) / 4; /* some are hot */
    thread->count = sim_chance(sim, sim->shape.span_share) ? 2 + (unsigned)sim_below(sim, SIM_SPAN - 1) : 1;
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

static void thread_access(struct sim *sim, struct sim_node *node, const struct sim_thread *thread, unsigned i)
{
    unsigned page = thread->pages[i];
    struct sim_page *copy = &node->pages[page];
    if (sim->loose[page] || sim->fuzzed)
        return;
    sim_check_permission(sim, page);
    if (sim->doubtful[page])
        page_settle(sim, page, copy, thread->writes[i]);
    uint64_t expected = sim->oracle[page][thread->word];
    SIM_ASSERT(sim, copy->words[thread->word] == expected, "node %u reads %" PRIu64 " from page %u, not %" PRIu64,
               node->number, copy->words[thread->word], page, expected);
    uint32_t epoch;
    enum page_state state = coherence_state(node->coherence, page + SIM_FIRST, &epoch);
    SIM_ASSERT(sim, epoch >= sim->epoch[page], "page %u: epoch %u after %u", page, epoch, sim->epoch[page]);
    SIM_ASSERT(sim, state >= (thread->writes[i] ? PAGE_MODIFIED : PAGE_SHARED), "page %u is used in state %d", page,
               state);
    if (!thread->writes[i])
        return;
    SIM_ASSERT(sim, sim->writer[page] == node->number || sim->writer[page] == SIM_NODES || epoch > sim->epoch[page],
               "page %u: written twice in epoch %u", page, epoch);
    SIM_ASSERT(sim, !sim->frozen || node->number == 0, "node %u writes while frozen", node->number);
    sim->writer[page] = node->number;
    sim->epoch[page] = epoch;
    sim->oracle[page][thread->word] = copy->words[thread->word] = ++sim->written;
}

/* As if the thread left: its pages go to another node, and perhaps one that it did not use. */
static void thread_moves(struct sim *sim, struct sim_node *node, const struct sim_thread *thread)
{
    unsigned target = (unsigned)sim_below(sim, sim->shape.peers + 1);
    sim->in_call = node->number + 1;
    for (unsigned i = 0; i < thread->count; i++)
        coherence_move(node->coherence, thread->pages[i] + SIM_FIRST, target);
    coherence_move(node->coherence, sim_below(sim, sim->shape.pages) + SIM_FIRST, target);
    sim->in_call = 0;
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
            if (!sim->job.running || page < sim->job.start || page >= sim->job.end || sim->job.kind == 'f')
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
                                          .write = thread->writes[i],
                                          .there = copy->present});
        return;
    }
    for (unsigned i = 0; i < thread->count; i++)
        thread_access(sim, node, thread, i);
    if (sim->now_ns - thread->since_ns > sim->longest_ns)
        sim->longest_ns = sim->now_ns - thread->since_ns;
    SIM_ASSERT(sim, sim->fuzzed || sim->now_ns - thread->since_ns < SIM_WAIT_NS,
               "node %u waited %" PRIu64 " ns, %u faults", number, sim->now_ns - thread->since_ns, thread->faults);
    if (sim_chance(sim, sim->shape.move_share))
        thread_moves(sim, node, thread);
    thread->active = false;
    sim->operations++;
    sim->operations_of[number]++;
    thread_schedule(sim, number, index, 200 + sim_below(sim, 4000));
}

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

/* ---- another process writes ------------------------------------------------------------------ */

/* As process_vm_writev at home: a fault; when the page is there and writable, the kernel gets hold of it and writes to
 * it some time later. */
static void foreign_step(struct sim *sim, const struct sim_event *event)
{
    struct sim_node *home = &sim->nodes[0];
    struct sim_page *copy = &home->pages[event->page];
    bool faulted = event->generation != 0 && event->other == copy->drops;
    if ((faulted || sim->shape.guarded) && copy->present && copy->writable) {
        if (copy->held != 0 || sim->loose[event->page])
            return;
        copy->held = ++sim->holds;
        event_add(sim, (struct sim_event){.at_ns = sim->now_ns + sim_below(sim, sim_chance(sim, 100) ? 3000000 : 30000),
                                          .type = EVENT_WRITTEN,
                                          .page = event->page,
                                          .generation = copy->held});
        return;
    }
    if (event->generation > 20 || (event->generation != 0 && event->other != copy->drops))
        return; /* the other process gives up: only the program is promised progress */
    sim->in_call = 1;
    if (sim->shape.guarded)
        coherence_fault(home->coherence, event->page + SIM_FIRST, true);
    else
        coherence_fault_foreign(home->coherence, event->page + SIM_FIRST);
    sim->in_call = 0;
    event_add(sim, (struct sim_event){.at_ns = sim->now_ns + sim_below(sim, 200000),
                                      .type = EVENT_FOREIGN,
                                      .other = copy->drops,
                                      .page = event->page,
                                      .generation = event->generation + 1});
    node_tick(sim, home);
}

static void foreign_written(struct sim *sim, const struct sim_event *event)
{
    unsigned page = event->page;
    struct sim_page *copy = &sim->nodes[0].pages[page];
    if (copy->held != event->generation) /* dropped */
        return;
    copy->held = 0;
    if (sim->loose[page] || sim->fuzzed)
        return;
    for (unsigned i = 1; i <= sim->shape.peers; i++)
        SIM_ASSERT(sim, !sim->nodes[i].alive || !sim->nodes[i].pages[page].present,
                   "page %u is written at home while node %u has it", page, i);
    SIM_ASSERT(sim, copy->present && copy->writable, "page %u has left under the kernel's hands", page);
    if (sim->doubtful[page])
        page_settle(sim, page, copy, true);
    unsigned word = (unsigned)sim_below(sim, SIM_WORDS);
    sim->oracle[page][word] = copy->words[word] = ++sim->written;
    sim->writer[page] = 0;
    coherence_state(sim->nodes[0].coherence, page + SIM_FIRST, &sim->epoch[page]);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void message_deliver(struct sim *sim, unsigned from, unsigned to)
{
    struct sim_stream *stream = &sim->streams[from][to];
    struct sim_message *message = stream->first;
    if (message == NULL || message->at_ns > sim->now_ns)
        return; /* cut off by a death */
    stream->first = message->next;
    if (stream->first == NULL)
        stream->last = &stream->first;
    if (sim->fuzzed && sim_chance(sim, 20)) { /* its small fields become others, and now and then the page */
        size_t at = sim_chance(sim, 100) ? 0 : 8 + sim_below(sim, 12);
        message->payload[at] = (uint8_t)(message->payload[at] ^ (1u << sim_below(sim, 3)));
        if ((message->payload[offsetof(struct wire_page, flags)] & WIRE_PAGE_DATA) && message->type < WIRE_RANGE_DROP)
            message->bytes = sizeof message->payload;
    }
    sim->in_call = to + 1;
    int result = coherence_message(sim->nodes[to].coherence, from, message->type, message->payload, message->bytes);
    sim->refused |= result == -EPROTO;
    SIM_ASSERT(sim, result == 0 || (sim->fuzzed && sim->refused),
               "message of type %u from node %u to node %u is refused: %d", message->type, from, to, result);
    sim->messages++;
    if (message->type == WIRE_PAGE_GRANT && !sim->fuzzed) {
        struct wire_page grant;
        memcpy(&grant, message->payload, sizeof grant);
        sim->in_call = to + 1;
        sim_promise_keep(&sim->nodes[to], grant.page);
        sim->in_call = 0;
    }
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
            SIM_ASSERT(sim, sim->now_ns - since_ns < SIM_WAIT_NS, "node %u waits for %u, page %" PRId64, i, waits_for,
                       (int64_t)(page - SIM_FIRST));
        for (unsigned t = 0; t < sim->shape.threads; t++)
            SIM_ASSERT(
                sim, !sim->nodes[i].threads[t].active || sim->now_ns - sim->nodes[i].threads[t].since_ns < SIM_WAIT_NS,
                "thread %u of node %u waits for page %d", t, i, sim->nodes[i].threads[t].blocked);
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
        if (sim->fuzzed && events > SIM_FUZZED_EVENTS)
            return; /* all wait for a job whose last message was altered */
        if (++events % 4096 == 0 && !sim->fuzzed)
            sim_check_waits(sim);
        switch ((enum sim_event_type)event.type) {
        case EVENT_THREAD:
            if (!sim->resting && sim_below(sim, 100000) < sim->shape.job_share)
                sim_start_job(sim);
            if (!sim->resting && sim_chance(sim, sim->shape.foreign_share))
                foreign_step(sim, &(struct sim_event){.page = (uint32_t)sim_below(sim, sim->shape.pages)});
            thread_step(sim, event.node, event.other);
            break;
        case EVENT_FOREIGN:
            foreign_step(sim, &event);
            break;
        case EVENT_WRITTEN:
            foreign_written(sim, &event);
            break;
        case EVENT_FAULT:
            if (!node->alive)
                break;
            sim->in_call = event.node + 1u;
            sim->protected = event.there && event.write;
            if (sim->protected)
                coherence_fault_protected(node->coherence, event.page + SIM_FIRST);
            else
                coherence_fault(node->coherence, event.page + SIM_FIRST, event.write);
            sim->protected = false;
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
            SIM_ASSERT(sim, !node->threads[t].active, "thread %u of node %u waits for page %d for ever", t, i,
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
        if (i == 0 && shape->guarded)
            coherence_guard_all(node->coherence);
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
