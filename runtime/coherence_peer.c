/*
 * The coherence protocol on a peer: a cache that asks home for pages and gives them up when home
 * recalls them. Not for the directory (coherence_home.c). A peer talks to home only.
 *
 * Home's messages come in the order in which home decided them, and home has at most one recall
 * under way to a node for a page, so a recall finds the copy it means, or none: then the copy went
 * back by itself, because it could not be installed.
 */
#include <errno.h>
#include <string.h>

#include "runtime/coherence_private.h"

static void peer_request_send(struct coherence *coherence, const struct coherence_page *page,
                              const struct coherence_request *request)
{
    struct wire_page message = {
        .page = request->page,
        .epoch = page->state == PAGE_LOST ? 0 : page->epoch,
        .drops = coherence->ranges,
        .state = request->state,
        .held = page->state,
    };
    coherence->operations.send(coherence->context, HOME_NODE, WIRE_PAGE_REQUEST, &message, NULL);
}

/* Exclusive becomes modified without a message: nobody else has a copy, and the answer to a recall
 * will tell. */
static void peer_modify(struct coherence *coherence, struct coherence_page *page, uint64_t number)
{
    COHERENCE_ASSERT(page->state == PAGE_EXCLUSIVE);
    if (coherence->operations.unprotect(coherence->context, number) != 0) {
        coherence->operations.wake(coherence->context, number); /* unmapped: the access will tell */
        return;
    }
    page->state = PAGE_MODIFIED;
    page->epoch++;
}

/*
 * A fault that was on its way when a range message unmapped its page would take a page from home
 * for nothing, perhaps one that was just recalled. Told from others by asking for the mapping,
 * which costs a system call; so only in the hull of what was dropped lately, until any fault from
 * before must have come.
 */
static bool fault_is_stale(struct coherence *coherence, uint64_t number)
{
    if (number < coherence->dropped_start || number >= coherence->dropped_end)
        return false;
    if (coherence->ticks - coherence->dropped_tick > DROPPED_TICKS &&
        coherence_now_ns(coherence) - coherence->dropped_ns > DROPPED_NS) {
        coherence->dropped_start = coherence->dropped_end = 0;
        return false;
    }
    return coherence->operations.protect(coherence->context, number) != 0;
}

void coherence_peer_fault(struct coherence *coherence, uint64_t number, bool write)
{
    struct coherence_page *page = coherence_table_get(coherence, number);
    if (page->state >= (write ? PAGE_MODIFIED : PAGE_SHARED)) {
        coherence->operations.wake(coherence->context, number);
        return;
    }
    if (page->state == PAGE_EXCLUSIVE) {
        coherence->counters.faults_upgrade++;
        peer_modify(coherence, page, number);
        return;
    }
    struct coherence_request *request = coherence_request_find(coherence, page, KIND_REQUEST, coherence->node);
    if (request != NULL) {
        request->upgrade_next |= write && request->state == PAGE_SHARED;
        return;
    }
    if (fault_is_stale(coherence, number)) {
        coherence->operations.wake(coherence->context, number);
        return;
    }
    *(page->state == PAGE_SHARED ? &coherence->counters.faults_upgrade
      : write                    ? &coherence->counters.faults_write
                                 : &coherence->counters.faults_read) += 1;
    coherence_hold_adapt(coherence, page);
    request = coherence_request_add(coherence, page, number, KIND_REQUEST, coherence->node,
                                    write ? PAGE_MODIFIED : PAGE_SHARED);
    peer_request_send(coherence, page, request);
}

void coherence_peer_fault_protected(struct coherence *coherence, uint64_t number)
{
    const struct coherence_page *page = coherence_table_find(coherence, number);
    if (page == NULL || page->state != PAGE_MODIFIED)
        coherence_peer_fault(coherence, number, true);
    else if (coherence->operations.unprotect(coherence->context, number) != 0)
        coherence->operations.wake(coherence->context, number);
}

/* ---- grants ---------------------------------------------------------------------------------- */

/* `request` NULL: the page comes with a thread that is on its way, and home did not know of a copy. */
static bool grant_makes_sense(const struct coherence_page *page, const struct coherence_request *request,
                              const struct wire_page *message)
{
    switch (message->flags) {
    case WIRE_PAGE_GONE:
        return request != NULL;
    case WIRE_PAGE_DATA:
    case WIRE_PAGE_ZERO:
        if (page->state != PAGE_LOST || message->epoch == 0)
            return false;
        break;
    case 0:
        if (page->state != PAGE_SHARED || message->epoch != page->epoch + 1)
            return false;
        break;
    default:
        return false;
    }
    if (request == NULL)
        return message->flags != 0 && message->flags != WIRE_PAGE_GONE && message->state == PAGE_MODIFIED;
    if (request->state == PAGE_MODIFIED)
        return message->state == PAGE_MODIFIED;
    return message->flags != 0 && message->state != PAGE_LOST; /* a migratory page comes modified */
}

/* The mapping went while the page was under way: home must not believe that the page is here. */
static void peer_give_back(struct coherence *coherence, const struct wire_page *grant, const void *data)
{
    struct wire_page message = {
        .page = grant->page,
        .epoch = grant->epoch,
        .state = PAGE_LOST,
        .held = grant->state,
        .flags = (uint16_t)(WIRE_PAGE_GONE | grant->flags),
    };
    coherence->counters.pages_out += data != NULL;
    coherence->operations.send(coherence->context, HOME_NODE, WIRE_PAGE_RETURN, &message, data);
    coherence->operations.wake(coherence->context, grant->page);
}

static int peer_install(struct coherence *coherence, uint64_t number, const void *data, bool writable)
{
    int result = coherence->operations.install(coherence->context, number, data, writable);
    if (result != -EEXIST)
        return result;
    /* Something made the page behind our back; what is there is nobody's. */
    coherence->operations.discard(coherence->context, number);
    result = coherence->operations.install(coherence->context, number, data, writable);
    COHERENCE_ASSERT(result != -EEXIST);
    return result;
}

int coherence_peer_grant(struct coherence *coherence, const struct wire_page *message, const void *data)
{
    struct coherence_page *page = coherence_table_get(coherence, message->page);
    struct coherence_request *request = coherence_request_find(coherence, page, KIND_REQUEST, coherence->node);
    if (!grant_makes_sense(page, request, message))
        return -EPROTO;
    bool upgrade_next = request != NULL && request->upgrade_next;
    if (request != NULL) {
        coherence_hold_answered(coherence, request);
        coherence_request_remove(coherence, page, request);
    }
    if (message->flags == WIRE_PAGE_GONE) {
        coherence->operations.wake(coherence->context, message->page);
        return 0;
    }
    uint8_t state = message->state;
    uint32_t epoch = message->epoch;
    if (state == PAGE_EXCLUSIVE && upgrade_next) { /* the first write is waiting already */
        state = PAGE_MODIFIED;
        epoch++;
    }
    upgrade_next &= state == PAGE_SHARED;
    if (message->flags == 0) {
        int result = coherence->operations.unprotect(coherence->context, message->page);
        COHERENCE_ASSERT(result == 0); /* contents that went without a range message are lost */
    } else if (peer_install(coherence, message->page, data, state == PAGE_MODIFIED) != 0) {
        peer_give_back(coherence, message, data);
        return 0;
    } else {
        *(data != NULL ? &coherence->counters.pages_in : &coherence->counters.pages_zero) += 1;
    }
    page->state = state;
    page->epoch = epoch;
    coherence_hold_start(coherence, page);
    if (upgrade_next)
        coherence->operations.wake(coherence->context, message->page); /* it must be there for sure */
    if (upgrade_next && page->state == PAGE_SHARED) {
        request = coherence_request_add(coherence, page, message->page, KIND_REQUEST, coherence->node, PAGE_MODIFIED);
        peer_request_send(coherence, page, request);
    }
    return 0;
}

void coherence_peer_install_failed(struct coherence *coherence, uint64_t number, const void *data)
{
    struct coherence_page *page = coherence_table_get(coherence, number);
    COHERENCE_ASSERT(page->state != PAGE_LOST);
    struct wire_page grant = {.page = number, .epoch = page->epoch, .state = page->state, .flags = WIRE_PAGE_DATA};
    page->state = PAGE_LOST;
    coherence_hold_end(coherence, page, false);
    peer_give_back(coherence, &grant, data);
}

/* ---- recalls --------------------------------------------------------------------------------- */

static void recall_carry_out(struct coherence *coherence, struct coherence_page *page, uint64_t number,
                             enum page_state fall_back, bool with_data, bool early)
{
    struct wire_page message = {
        .page = number,
        .epoch = page->epoch,
        .state = (uint8_t)fall_back,
        .held = page->state,
    };
    bool written = page->state == PAGE_MODIFIED, leaves = fall_back == PAGE_LOST;
    const struct coherence_operations *operations = &coherence->operations;
    int zero = 0, result = 0;
    if (written && leaves) {
        COHERENCE_ASSERT(with_data);
        zero = operations->take(coherence->context, number, coherence->scratch, true);
    } else {
        if (written)
            result = operations->protect(coherence->context, number);
        if (with_data && result == 0)
            zero = operations->read(coherence->context, number, coherence->scratch, false);
        if (leaves)
            operations->discard(coherence->context, number);
    }
    COHERENCE_ASSERT(zero >= 0 && result == 0);
    if (with_data)
        message.flags = zero == 1 ? WIRE_PAGE_ZERO : WIRE_PAGE_DATA;
    const void *data = message.flags == WIRE_PAGE_DATA ? coherence->scratch : NULL;
    coherence->counters.pages_out += with_data;
    page->state = (uint8_t)fall_back;
    coherence_hold_end(coherence, page, early);
    coherence->counters.recalls++;
    coherence->operations.send(coherence->context, HOME_NODE, WIRE_PAGE_RETURN, &message, data);
}

int coherence_peer_recall(struct coherence *coherence, const struct wire_page *message)
{
    bool with_data = message->flags == WIRE_PAGE_DATA;
    if ((message->flags != 0 && !with_data) || message->state > PAGE_SHARED)
        return -EPROTO;
    struct coherence_page *page = coherence_table_find(coherence, message->page);
    if (page == NULL || page->state == PAGE_LOST)
        return 0; /* it went back by itself, and home has taken, or will take, that for the answer
                   */
    if (!with_data && (message->state == PAGE_SHARED || page->state != PAGE_SHARED))
        return -EPROTO; /* contents would be lost, or nothing happen */
    if (page->state == PAGE_SHARED && message->epoch != page->epoch)
        return -EPROTO;
    if (coherence_request_find(coherence, page, KIND_RECALL, coherence->node) != NULL)
        return -EPROTO;
    if (coherence_hold_left(coherence, page) == 0) {
        recall_carry_out(coherence, page, message->page, message->state, with_data, false);
        return 0;
    }
    struct coherence_request *recall =
        coherence_request_add(coherence, page, message->page, KIND_RECALL, coherence->node, message->state);
    recall->with_data = with_data;
    coherence_request_delay(coherence, recall);
    return 0;
}

void coherence_peer_release(struct coherence *coherence, struct coherence_request *recall)
{
    struct coherence_page *page = coherence_table_find(coherence, recall->page);
    COHERENCE_ASSERT(page != NULL && recall->kind == KIND_RECALL && page->state != PAGE_LOST);
    recall_carry_out(coherence, page, recall->page, recall->state, recall->with_data, true);
    coherence_request_remove(coherence, page, recall);
}

void coherence_peer_give(struct coherence *coherence, uint64_t number)
{
    struct coherence_page *page = coherence_table_find(coherence, number);
    if (page == NULL || page->state != PAGE_MODIFIED ||
        coherence_request_find(coherence, page, KIND_RECALL, coherence->node) != NULL)
        return;
    int zero = coherence->operations.take(coherence->context, number, coherence->scratch, false);
    if (zero < 0)
        return; /* the kernel is at it */
    struct wire_page message = {
        .page = number,
        .epoch = page->epoch,
        .state = PAGE_LOST,
        .held = PAGE_MODIFIED,
        .flags = (uint16_t)(WIRE_PAGE_GONE | (zero == 1 ? WIRE_PAGE_ZERO : WIRE_PAGE_DATA)),
    };
    coherence->counters.pages_out++;
    page->state = PAGE_LOST;
    coherence_hold_end(coherence, page, false);
    coherence->operations.send(coherence->context, HOME_NODE, WIRE_PAGE_RETURN, &message,
                               zero == 1 ? NULL : coherence->scratch);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void range_remember(struct coherence *coherence, uint64_t start, uint64_t end)
{
    if (coherence->dropped_start == coherence->dropped_end) {
        coherence->dropped_start = start;
        coherence->dropped_end = end;
    }
    if (start < coherence->dropped_start)
        coherence->dropped_start = start;
    if (end > coherence->dropped_end)
        coherence->dropped_end = end;
    coherence->dropped_ns = coherence_now_ns(coherence);
    coherence->dropped_tick = coherence->ticks;
}

static void range_release_recalls(struct coherence *coherence, uint64_t start, uint64_t end)
{
    struct coherence_request *next;
    for (struct coherence_request *request = coherence->delayed; request != NULL; request = next) {
        next = request->delayed_next;
        if (request->page >= start && request->page < end)
            coherence_peer_release(coherence, request);
    }
}

/* Home has forgotten, or will ignore, what was asked for in the range. The faults come again if the
 * mapping does. */
static void range_forget_requests(struct coherence *coherence, uint64_t start, uint64_t end)
{
    struct coherence_request *next;
    for (struct coherence_request *request = coherence->oldest; request != NULL; request = next) {
        next = request->newer;
        if (request->page < start || request->page >= end)
            continue;
        uint64_t number = request->page;
        coherence_request_remove(coherence, coherence_table_find(coherence, number), request);
        coherence->operations.wake(coherence->context, number);
    }
}

int coherence_peer_range(struct coherence *coherence, enum wire_type type, const struct wire_range *range)
{
    if (range->sequence != coherence->ranges + 1)
        return -EPROTO;
    uint64_t start = range->start >> PAGE_SHIFT, end = range->end >> PAGE_SHIFT;
    range_release_recalls(coherence, start, end);
    coherence->operations.range(coherence->context, type, range);
    coherence->ranges++;
    if (type == WIRE_RANGE_DROP) {
        range_forget_requests(coherence, start, end);
        coherence_table_reset(coherence, start, end);
        range_remember(coherence, start, end);
    }
    struct wire_page message; /* of the same size: the operation takes both */
    _Static_assert(sizeof message == sizeof *range, "a range travels as a page does");
    memcpy(&message, range, sizeof message);
    coherence->operations.send(coherence->context, HOME_NODE, WIRE_RANGE_DONE, &message, NULL);
    return 0;
}
