/*
 * Requests of the coherence protocol: their pool, the queue of a page, their order by age, and hold
 * times. Not for what a request does: coherence_home.c and coherence_peer.c.
 *
 * The pool grows and never shrinks; freed requests and page buffers are used again, so that a fault
 * allocates nothing once the program has had its usual number of faults under way.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/coherence_private.h"

#define HOLD_MAX_NS    1000000u
#define HOLD_ANSWERS   16 /* or as much as so many of the fastest answers take, when messages are slow */
#define HOLD_LEVEL_MAX 5
#define HOLD_SPAN_MAX  9           /* level of a page that goes while another is fetched for the same instruction */
#define ANSWER_SPAN_NS 1000000000u /* for which the fastest answer counts */
#define HOLD_CLOCK_BITS                                                                                                \
    10                   /* a tick of the hold clock is 1024 ns; it wraps after 73 minutes, which holds a page once    \
                            more */
#define AGAIN_NS 250000u /* wanted again so soon after it went: a sleeping thread needs 100 us to run at all */

/* ---- pool ------------------------------------------------------------------------------------ */

struct coherence_request *coherence_request_at(const struct coherence *coherence, uint32_t number)
{
    if (number == 0)
        return NULL;
    COHERENCE_ASSERT((number - 1) >> CHUNK_SHIFT < coherence->chunk_count);
    return &coherence->chunks[(number - 1) >> CHUNK_SHIFT]->requests[(number - 1) & (CHUNK_REQUESTS - 1)];
}

static void pool_grow(struct coherence *coherence)
{
    uint32_t count = coherence->chunk_count;
    if ((count & (count - 1)) == 0) { /* the array doubles at powers of two */
        size_t wanted = count == 0 ? 1 : 2 * (size_t)count;
        struct coherence_chunk **chunks = realloc(coherence->chunks, wanted * sizeof *chunks);
        COHERENCE_ASSERT(chunks != NULL);
        coherence->chunks = chunks;
    }
    struct coherence_chunk *chunk = calloc(1, sizeof *chunk);
    COHERENCE_ASSERT(chunk != NULL);
    coherence->chunks[coherence->chunk_count++] = chunk;
    for (uint32_t i = CHUNK_REQUESTS; i-- > 0;) {
        chunk->requests[i].number = (count << CHUNK_SHIFT) + i + 1;
        chunk->requests[i].next = coherence->free_request;
        coherence->free_request = chunk->requests[i].number;
    }
}

static uint8_t *data_allocate(struct coherence *coherence)
{
    uint8_t *data = coherence->free_data;
    if (data != NULL) {
        memcpy(&coherence->free_data, data, sizeof coherence->free_data);
        return data;
    }
    data = malloc(PAGE_BYTES);
    COHERENCE_ASSERT(data != NULL);
    return data;
}

static void data_free(struct coherence *coherence, uint8_t *data)
{
    memcpy(data, &coherence->free_data, sizeof coherence->free_data);
    coherence->free_data = data;
}

void coherence_request_keep(struct coherence *coherence, struct coherence_request *request, const void *data)
{
    if (request->data == NULL)
        request->data = data_allocate(coherence);
    memcpy(request->data, data, PAGE_BYTES);
}

/* ---- queues ---------------------------------------------------------------------------------- */

struct coherence_request *coherence_request_add(struct coherence *coherence, struct coherence_page *page,
                                                uint64_t number, enum coherence_kind kind, unsigned node,
                                                enum page_state state)
{
    if (coherence->free_request == 0)
        pool_grow(coherence);
    struct coherence_request *request = coherence_request_at(coherence, coherence->free_request);
    coherence->free_request = request->next;
    *request = (struct coherence_request){
        .number = request->number,
        .page = number,
        .since_ns = coherence_now_ns(coherence),
        .kind = (uint8_t)kind,
        .node = (uint8_t)node,
        .state = (uint8_t)state,
        .source = NODES_MAX,
        .older = coherence->newest,
    };
    if (coherence->newest != NULL)
        coherence->newest->newer = request;
    else
        coherence->oldest = request;
    coherence->newest = request;
    coherence->requests_of[node]++;

    uint32_t *link = &page->queue;
    while (*link != 0)
        link = &coherence_request_at(coherence, *link)->next;
    *link = request->number;
    return request;
}

void coherence_request_remove(struct coherence *coherence, struct coherence_page *page,
                              struct coherence_request *request)
{
    uint32_t *link = &page->queue;
    while (*link != request->number) {
        COHERENCE_ASSERT(*link != 0);
        link = &coherence_request_at(coherence, *link)->next;
    }
    *link = request->next;

    *(request->older != NULL ? &request->older->newer : &coherence->oldest) = request->newer;
    *(request->newer != NULL ? &request->newer->older : &coherence->newest) = request->older;
    coherence_request_undelay(coherence, request);
    if (request->data != NULL)
        data_free(coherence, request->data);
    request->data = NULL;
    COHERENCE_ASSERT(coherence->requests_of[request->node] != 0);
    coherence->requests_of[request->node]--;
    request->kind = 0;
    request->next = coherence->free_request;
    coherence->free_request = request->number;
}

struct coherence_request *coherence_request_find(const struct coherence *coherence, const struct coherence_page *page,
                                                 enum coherence_kind kind, unsigned node)
{
    struct coherence_request *request = coherence_request_at(coherence, page->queue);
    while (request != NULL && (request->kind != kind || request->node != node || request->job != NULL))
        request = coherence_request_at(coherence, request->next);
    return request;
}

void coherence_requests_destroy(struct coherence *coherence)
{
    for (struct coherence_request *request = coherence->oldest; request != NULL; request = request->newer)
        free(request->data);
    while (coherence->free_data != NULL)
        free(data_allocate(coherence));
    for (uint32_t i = 0; i < coherence->chunk_count; i++)
        free(coherence->chunks[i]);
    free(coherence->chunks);
}

/* ---- hold times ------------------------------------------------------------------------------ */

static uint32_t hold_clock(const struct coherence *coherence)
{
    return (uint32_t)(coherence_now_ns(coherence) >> HOLD_CLOCK_BITS);
}

/*
 * Between one and two times the nominal hold time, another one for each grant and node: two nodes
 * that each need the same two pages, and take them from each other in step, fall out of step.
 */
static uint64_t hold_length_ns(const struct coherence *coherence, const struct coherence_page *page)
{
    uint64_t hold_ns = coherence->hold_ns << page->level;
    uint64_t most_ns = HOLD_ANSWERS * coherence->answer_least_ns;
    if (most_ns < HOLD_MAX_NS)
        most_ns = HOLD_MAX_NS;
    if (most_ns < coherence->hold_ns)
        most_ns = coherence->hold_ns;
    if (hold_ns > most_ns)
        hold_ns = most_ns;
    uint32_t mix = (page->stamp ^ coherence->node << 24 ^ page->epoch << 12) * 0x9e3779b1u;
    return hold_ns + ((hold_ns * (mix >> 22)) >> 10);
}

void coherence_hold_start(const struct coherence *coherence, struct coherence_page *page)
{
    page->flags = (uint8_t)((page->flags | PAGE_HELD) & ~PAGE_EARLY);
    page->stamp = hold_clock(coherence);
}

uint64_t coherence_hold_left(const struct coherence *coherence, const struct coherence_page *page)
{
    if (!(page->flags & PAGE_HELD))
        return 0;
    uint64_t age_ns = (uint64_t)(hold_clock(coherence) - page->stamp) << HOLD_CLOCK_BITS;
    uint64_t length_ns = hold_length_ns(coherence, page);
    return age_ns < length_ns ? length_ns - age_ns : 0;
}

void coherence_hold_end(const struct coherence *coherence, struct coherence_page *page, bool early)
{
    page->flags = (uint8_t)((page->flags & ~(PAGE_HELD | PAGE_EARLY)) | (early ? PAGE_EARLY : 0));
    page->stamp = hold_clock(coherence);
}

void coherence_hold_answered(struct coherence *coherence, const struct coherence_request *request)
{
    coherence->answer_since = (uint32_t)(request->since_ns >> HOLD_CLOCK_BITS);
    coherence->answer_stamp = hold_clock(coherence);
    uint64_t now_ns = coherence_now_ns(coherence), took_ns = now_ns - request->since_ns;
    if (coherence->answer_least_ns == 0 || took_ns < coherence->answer_least_ns ||
        now_ns - coherence->answer_least_at_ns > ANSWER_SPAN_NS) {
        coherence->answer_least_ns = took_ns;
        coherence->answer_least_at_ns = now_ns;
    }
}

/* Went while another page was being fetched here, which has just come: the instruction needs both.
 */
static bool hold_was_too_short_for_another(const struct coherence *coherence, const struct coherence_page *page)
{
    uint64_t answer_age_ns = (uint64_t)(hold_clock(coherence) - coherence->answer_stamp) << HOLD_CLOCK_BITS;
    return answer_age_ns < AGAIN_NS &&
           page->stamp - coherence->answer_since <= coherence->answer_stamp - coherence->answer_since;
}

void coherence_hold_adapt(const struct coherence *coherence, struct coherence_page *page)
{
    if (page->flags & PAGE_HELD)
        return; /* an upgrade of a copy that is here */
    bool early = (page->flags & PAGE_EARLY) != 0;
    uint64_t age_ns = (uint64_t)(hold_clock(coherence) - page->stamp) << HOLD_CLOCK_BITS;
    if (early && hold_was_too_short_for_another(coherence, page)) {
        if (page->level < HOLD_SPAN_MAX)
            page->level++;
    } else if (early && age_ns < AGAIN_NS) {
        if (page->level < HOLD_LEVEL_MAX)
            page->level++;
    } else if (page->level > 0) {
        page->level--;
    }
    page->flags &= (uint8_t)~PAGE_EARLY; /* counts once */
}

void coherence_request_delay(struct coherence *coherence, struct coherence_request *request)
{
    if (request->delayed)
        return;
    request->delayed = true;
    request->early = true;
    request->delayed_previous = NULL;
    request->delayed_next = coherence->delayed;
    if (coherence->delayed != NULL)
        coherence->delayed->delayed_previous = request;
    coherence->delayed = request;
}

void coherence_request_undelay(struct coherence *coherence, struct coherence_request *request)
{
    if (!request->delayed)
        return;
    request->delayed = false;
    *(request->delayed_previous != NULL ? &request->delayed_previous->delayed_next : &coherence->delayed) =
        request->delayed_next;
    if (request->delayed_next != NULL)
        request->delayed_next->delayed_previous = request->delayed_previous;
}
