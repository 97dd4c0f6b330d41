/*
 * The coherence protocol at home: the directory, which serialises what happens to a page, and
 * home's own copy. Not for ranges and freezing (coherence_job.c) nor for the caches of peers
 * (coherence_peer.c).
 *
 * The requests for a page form a queue. One that needs something of peers recalls it and makes the
 * page busy until all have answered; then it is granted, and the next one starts. What can be
 * granted at once never makes the page busy.
 */
#include <errno.h>
#include <string.h>

#include "runtime/coherence_private.h"

#define PROBE_EPOCHS    8u
#define FOREIGN_WAIT_NS 1000000000u /* a process that holds a page is not kept from its processor for longer */
#define DEVICE_WAIT_NS  200000000u  /* nor does a disk often take longer */

/* ---- home's own copy ------------------------------------------------------------------------- */

static bool home_owns(const struct coherence_page *page)
{
    return page->holders == HOME_BIT && page->state == PAGE_MODIFIED;
}

/* Reads home's copy into the scratch page, read-only from then on: what is granted is what home
 * keeps seeing. */
static enum coherence_content home_read(struct coherence *coherence, struct coherence_page *page, uint64_t number)
{
    bool owned = page->state == PAGE_MODIFIED;
    if (owned && coherence->operations.protect(coherence->context, number) != 0)
        return CONTENT_GONE;
    int result = coherence->operations.read(coherence->context, number, coherence->scratch, owned);
    COHERENCE_ASSERT(result >= 0 || result == -ENOENT);
    return result < 0 ? CONTENT_GONE : result == 1 ? CONTENT_ZERO : CONTENT_DATA;
}

static void home_discard(struct coherence *coherence, struct coherence_page *page, uint64_t number, bool early)
{
    coherence->operations.discard(coherence->context, number);
    coherence_hold_end(coherence, page, early);
}

/* As home_read, and home's copy is gone then; or it is not, and busy, when the reader of a migratory page can do
 * without. */
static enum coherence_content home_take(struct coherence *coherence, struct coherence_page *page,
                                        const struct coherence_request *request)
{
    if (page->state != PAGE_MODIFIED) {
        enum coherence_content content = home_read(coherence, page, request->page);
        if (content != CONTENT_GONE)
            home_discard(coherence, page, request->page, request->early);
        return content;
    }
    int result = coherence->operations.take(coherence->context, request->page, coherence->scratch, !request->promoted);
    COHERENCE_ASSERT(result >= 0 || result == -ENOENT || (result == -EBUSY && request->promoted));
    if (result < 0)
        return result == -EBUSY ? CONTENT_BUSY : CONTENT_GONE;
    coherence_hold_end(coherence, page, request->early);
    return result == 1 ? CONTENT_ZERO : CONTENT_DATA;
}

static int home_install(struct coherence *coherence, uint64_t number, const void *data, bool writable)
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

/* Home has the page to itself; the access that faulted needs it to be there and writable. */
static void home_repair(struct coherence *coherence, uint64_t number)
{
    int result = coherence->operations.install(coherence->context, number, NULL, true);
    if (result == -EEXIST)
        result = coherence->operations.unprotect(coherence->context, number);
    if (result != 0)
        coherence->operations.wake(coherence->context, number);
}

/* ---- grants ---------------------------------------------------------------------------------- */

static void grant_send(struct coherence *coherence, const struct coherence_page *page,
                       const struct coherence_request *request, enum page_state state, enum coherence_content content,
                       const void *data)
{
    static const uint16_t flags[] = {
        [CONTENT_NONE] = 0,
        [CONTENT_ZERO] = WIRE_PAGE_ZERO,
        [CONTENT_DATA] = WIRE_PAGE_DATA,
        [CONTENT_GONE] = WIRE_PAGE_GONE,
    };
    struct wire_page message = {
        .page = request->page,
        .epoch = page->epoch,
        .state = (uint8_t)state,
        .flags = flags[content],
    };
    coherence->counters.pages_out += content == CONTENT_DATA;
    coherence->operations.send(coherence->context, request->node, WIRE_PAGE_GRANT, &message,
                               content == CONTENT_DATA ? data : NULL);
}

static void grant_read_home(struct coherence *coherence, struct coherence_page *page,
                            const struct coherence_request *request, const void *data)
{
    if (page->holders & HOME_BIT) {
        if (home_owns(page))
            home_repair(coherence, request->page);
        else
            coherence->operations.wake(coherence->context, request->page);
        return;
    }
    if (home_install(coherence, request->page, data, false) != 0) { /* unmapped: the access that faulted will tell */
        coherence->operations.wake(coherence->context, request->page);
        if (page->holders == 0) {
            page->holders = HOME_BIT;
            page->state = PAGE_MODIFIED;
        }
        return;
    }
    *(data != NULL ? &coherence->counters.pages_in : &coherence->counters.pages_zero) += 1;
    page->holders |= HOME_BIT;
    if (page->holders == HOME_BIT)
        page->state = PAGE_SHARED;
    coherence_hold_start(coherence, page);
}

static void grant_read_peer(struct coherence *coherence, struct coherence_page *page,
                            const struct coherence_request *request, enum coherence_content content, const void *data)
{
    if (page->holders & HOME_BIT) {
        content = home_read(coherence, page, request->page);
        data = coherence->scratch;
        if (content == CONTENT_GONE) {
            grant_send(coherence, page, request, PAGE_LOST, content, NULL);
            return;
        }
        if (content == CONTENT_ZERO && page->holders == HOME_BIT && !coherence->frozen) {
            /* Memory that nobody has written yet: the peer's alone, and its first write needs no message. Unless a
             * device is about to fill it. */
            int taken = coherence->operations.take(coherence->context, request->page, coherence->scratch, false);
            COHERENCE_ASSERT(taken >= 0 || taken == -EBUSY || taken == -ENOENT);
            if (taken >= 0) {
                coherence_hold_end(coherence, page, request->early);
                page->holders = NODE_BIT(request->node);
                page->state = PAGE_EXCLUSIVE;
                page->writer = request->node;
                grant_send(coherence, page, request, PAGE_EXCLUSIVE, taken == 1 ? CONTENT_ZERO : CONTENT_DATA,
                           coherence->scratch);
                return;
            }
        }
        if (page->state == PAGE_MODIFIED)
            coherence_hold_end(coherence, page, request->early);
    }
    page->state = PAGE_SHARED;
    page->holders |= NODE_BIT(request->node);
    grant_send(coherence, page, request, PAGE_SHARED, content, data);
}

static void grant_write_home(struct coherence *coherence, struct coherence_page *page,
                             const struct coherence_request *request, const void *data)
{
    if (home_owns(page)) {
        home_repair(coherence, request->page);
        return;
    }
    int result;
    if (page->holders & HOME_BIT) {
        result = coherence->operations.unprotect(coherence->context, request->page);
    } else {
        result = home_install(coherence, request->page, data, true);
        *(data != NULL ? &coherence->counters.pages_in : &coherence->counters.pages_zero) += 1;
    }
    if (result != 0) /* unmapped at home: the access that faulted will tell */
        coherence->operations.wake(coherence->context, request->page);
    page->holders = HOME_BIT;
    page->state = PAGE_MODIFIED;
    page->writer = HOME_NODE;
    page->epoch++;
    coherence_hold_start(coherence, page);
}

/* No other copy is left. */
static void grant_modified(struct coherence *coherence, struct coherence_page *page,
                           const struct coherence_request *request, enum coherence_content content, const void *data)
{
    page->holders = NODE_BIT(request->node);
    page->state = PAGE_MODIFIED;
    page->writer = request->node;
    page->epoch++;
    grant_send(coherence, page, request, PAGE_MODIFIED, content, data);
}

static void grant_write_peer(struct coherence *coherence, struct coherence_page *page,
                             const struct coherence_request *request, enum coherence_content content, const void *data)
{
    bool upgrade = (page->holders & NODE_BIT(request->node)) != 0;
    if ((page->holders & HOME_BIT) && !upgrade) {
        content = home_take(coherence, page, request);
        data = coherence->scratch;
        if (content == CONTENT_BUSY) {
            page->flags &= (uint8_t) ~(PAGE_MIGRATORY | PAGE_PROBED);
            grant_read_peer(coherence, page, request, CONTENT_NONE, NULL);
            return;
        }
        if (content == CONTENT_GONE) {
            grant_send(coherence, page, request, PAGE_LOST, content, NULL);
            return;
        }
    } else if (page->holders & HOME_BIT) {
        home_discard(coherence, page, request->page, request->early);
    }
    COHERENCE_ASSERT((page->holders & ~(NODE_BIT(request->node) | HOME_BIT)) == 0);
    COHERENCE_ASSERT(upgrade == (content == CONTENT_NONE));
    grant_modified(coherence, page, request, content, data);
}

void coherence_home_finish(struct coherence *coherence, struct coherence_page *page, struct coherence_request *request,
                           const void *data)
{
    enum coherence_content content = request->content;
    COHERENCE_ASSERT(request->pending == 0);
    if (content != CONTENT_DATA)
        data = NULL;
    page->flags &= (uint8_t)~PAGE_BUSY;
    if (request->node == HOME_NODE && request->state == PAGE_SHARED)
        grant_read_home(coherence, page, request, data);
    else if (request->node == HOME_NODE)
        grant_write_home(coherence, page, request, data);
    else if (request->state == PAGE_SHARED)
        grant_read_peer(coherence, page, request, content, data);
    else
        grant_write_peer(coherence, page, request, content, data);
    if (request->job != NULL)
        request->job->in_flight--;
    else if (request->node == HOME_NODE)
        coherence_hold_answered(coherence, request);
    bool upgrade_next = request->upgrade_next;
    uint64_t number = request->page;
    coherence_request_remove(coherence, page, request);
    if (upgrade_next)
        coherence_request_add(coherence, page, number, KIND_REQUEST, HOME_NODE, PAGE_MODIFIED);
}

/* ---- starting -------------------------------------------------------------------------------- */

void coherence_home_recall(struct coherence *coherence, const struct coherence_page *page,
                           struct coherence_request *request, unsigned node, bool with_data)
{
    struct wire_page message = {
        .page = request->page,
        .epoch = page->epoch,
        .state = request->state == PAGE_SHARED ? PAGE_SHARED : PAGE_LOST,
        .flags = with_data ? WIRE_PAGE_DATA : 0,
    };
    if (with_data)
        request->source = (uint8_t)node;
    request->pending |= NODE_BIT(node);
    coherence->counters.recalls++;
    coherence->operations.send(coherence->context, node, WIRE_PAGE_RECALL, &message, NULL);
}

/* True when home's own copy has to go, or become read-only, and may not yet. */
static bool home_holds(struct coherence *coherence, const struct coherence_page *page,
                       struct coherence_request *request)
{
    bool taken = request->state == PAGE_MODIFIED || page->state == PAGE_MODIFIED;
    if (request->node == HOME_NODE || !(page->holders & HOME_BIT) || !taken)
        return false;
    if (coherence_hold_left(coherence, page) == 0)
        return false;
    coherence_request_delay(coherence, request);
    return true;
}

static bool home_guards(const struct coherence *coherence, const struct coherence_page *page)
{
    return coherence->guarded || (page->flags & PAGE_FOREIGN) != 0;
}

/*
 * True when the kernel may be about to write to home's own copy, for another process or a device, which must neither go
 * nor be shared before that is done: what the kernel holds it writes to, whatever the protection says by then. The hold
 * time is the time until the next look. The page stays marked: the process may find it writable again without a fault
 * of its own. The limits are for what is held for good, like buffers that are registered with io_uring.
 */
static bool home_held_by_kernel(struct coherence *coherence, struct coherence_page *page,
                                struct coherence_request *request)
{
    if (!home_guards(coherence, page) || request->node == HOME_NODE || !home_owns(page))
        return false;
    if (coherence->operations.seal(coherence->context, request->page) != -EBUSY)
        return false;
    uint64_t most_ns = page->flags & PAGE_FOREIGN ? FOREIGN_WAIT_NS : DEVICE_WAIT_NS;
    if (request->held_ns == 0)
        request->held_ns = coherence_now_ns(coherence);
    if (coherence_now_ns(coherence) - request->held_ns >= most_ns) {
        page->flags &= (uint8_t)~PAGE_FOREIGN;
        return false;
    }
    coherence_hold_start(coherence, page);
    coherence_request_delay(coherence, request);
    return true;
}

/* True: granted, and the request is gone. False: it waits. */
static bool request_start(struct coherence *coherence, struct coherence_page *page, struct coherence_request *request)
{
    if (home_holds(coherence, page, request) || home_held_by_kernel(coherence, page, request))
        return false;
    uint64_t own = NODE_BIT(request->node);
    uint64_t peers = page->holders & ~(own | HOME_BIT);
    bool contents_here = (page->holders & (own | HOME_BIT)) != 0;
    if (request->state == PAGE_SHARED) {
        if (!contents_here)
            coherence_home_recall(coherence, page, request, node_first(peers), true);
    } else {
        unsigned source = contents_here ? NODES_MAX : node_first(peers);
        for (; peers != 0; peers &= peers - 1)
            coherence_home_recall(coherence, page, request, node_first(peers), node_first(peers) == source);
    }
    if (request->pending == 0) {
        coherence_home_finish(coherence, page, request, NULL);
        return true;
    }
    coherence_request_undelay(coherence, request);
    page->flags |= PAGE_BUSY;
    return false;
}

static bool request_blocked(const struct coherence *coherence, const struct coherence_request *request)
{
    if (coherence->frozen && request->node != HOME_NODE && request->state == PAGE_MODIFIED)
        return true;
    return coherence_job_blocks(coherence, request);
}

void coherence_home_run(struct coherence *coherence, uint64_t number)
{
    struct coherence_page *page = coherence_table_find(coherence, number);
    while (page != NULL && !(page->flags & PAGE_BUSY)) {
        struct coherence_request *request = coherence_request_at(coherence, page->queue);
        while (request != NULL && request_blocked(coherence, request))
            request = coherence_request_at(coherence, request->next);
        if (request == NULL || !request_start(coherence, page, request))
            return;
    }
}

void coherence_home_push(struct coherence *coherence, uint64_t number, unsigned node)
{
    struct coherence_page *page = coherence_table_find(coherence, number);
    if (page == NULL || !home_owns(page) || page->queue != 0 || coherence->frozen || home_guards(coherence, page) ||
        !(coherence->nodes & NODE_BIT(node)) || coherence_job_concerns(coherence, number))
        return;
    struct coherence_request request = {
        .page = number, .kind = KIND_REQUEST, .node = (uint8_t)node, .state = PAGE_MODIFIED, .promoted = true};
    enum coherence_content content = home_take(coherence, page, &request);
    if (content == CONTENT_BUSY || content == CONTENT_GONE)
        return;
    page->flags = (uint8_t)((page->flags & ~PAGE_PROBED) | PAGE_PUSHED);
    grant_modified(coherence, page, &request, content, coherence->scratch);
}

/* ---- migratory pages ------------------------------------------------------------------------- */

/*
 * Locks and what they guard are read and then written by one node after the other. Once a node has upgraded a copy that
 * it had from the writer before it, whoever reads the page gets it modified at once, which saves the upgrade. Now and
 * then a reader gets the page shared: when it does not write before somebody else asks, the page is migratory no more.
 */
static bool migratory_read(const struct coherence *coherence, struct coherence_page *page)
{
    if (!(page->flags & PAGE_MIGRATORY) || coherence->frozen)
        return false;
    if (page->flags & PAGE_PROBED) {
        page->flags &= (uint8_t) ~(PAGE_MIGRATORY | PAGE_PROBED);
        return false;
    }
    if (page->epoch % PROBE_EPOCHS != 0)
        return true;
    page->flags |= PAGE_PROBED;
    return false;
}

static void migratory_write(struct coherence_page *page, unsigned node)
{
    bool upgrade = (page->holders & NODE_BIT(node)) != 0;
    if (page->flags & PAGE_PROBED)
        page->flags &= (uint8_t)(upgrade ? ~PAGE_PROBED : ~(PAGE_MIGRATORY | PAGE_PROBED));
    else if (upgrade && node != page->writer && page->holders == (NODE_BIT(node) | NODE_BIT(page->writer)))
        page->flags |= PAGE_MIGRATORY;
}

static void request_receive(struct coherence *coherence, struct coherence_page *page, uint64_t number, unsigned node,
                            bool write)
{
    bool wanted = write || migratory_read(coherence, page);
    if (write)
        migratory_write(page, node);
    struct coherence_request *request =
        coherence_request_add(coherence, page, number, KIND_REQUEST, node, wanted ? PAGE_MODIFIED : PAGE_SHARED);
    request->promoted = wanted && !write;
}

/* ---- events ---------------------------------------------------------------------------------- */

void coherence_home_fault(struct coherence *coherence, uint64_t number, bool write)
{
    struct coherence_page *page = coherence_table_find(coherence, number);
    if (page == NULL || (home_owns(page) && page->queue == 0)) {
        home_repair(coherence, number);
        if (page != NULL)
            coherence_hold_start(coherence, page);
        return;
    }
    bool here = (page->holders & HOME_BIT) != 0;
    if (home_owns(page)) {
        home_repair(coherence, number);
        return;
    }
    if (here && !write) { /* even when the page is busy: the copy stays until all others are gone */
        coherence->operations.wake(coherence->context, number);
        return;
    }
    struct coherence_request *request = coherence_request_find(coherence, page, KIND_REQUEST, HOME_NODE);
    if (request != NULL) {
        request->upgrade_next |= write && request->state == PAGE_SHARED;
        return;
    }
    *(here    ? &coherence->counters.faults_upgrade
      : write ? &coherence->counters.faults_write
              : &coherence->counters.faults_read) += 1;
    coherence_hold_adapt(coherence, page);
    request_receive(coherence, page, number, HOME_NODE, write);
    coherence_home_run(coherence, number);
}

void coherence_home_fault_protected(struct coherence *coherence, uint64_t number)
{
    struct coherence_page *page = coherence_table_find(coherence, number);
    if (page != NULL && !home_owns(page)) {
        coherence_home_fault(coherence, number, true);
        return;
    }
    if (coherence->operations.unprotect(coherence->context, number) != 0)
        coherence->operations.wake(coherence->context, number);
    if (page != NULL && page->queue == 0)
        coherence_hold_start(coherence, page);
}

void coherence_home_fault_foreign(struct coherence *coherence, uint64_t number)
{
    coherence_table_get(coherence, number)->flags |= PAGE_FOREIGN;
    coherence_home_fault(coherence, number, true);
}

int coherence_home_request(struct coherence *coherence, unsigned from, const struct wire_page *message)
{
    bool write = message->state == PAGE_MODIFIED;
    if (message->flags != 0 || (!write && message->state != PAGE_SHARED))
        return -EPROTO;
    if (message->held > (write ? PAGE_SHARED : PAGE_LOST) || (message->held == PAGE_LOST) != (message->epoch == 0))
        return -EPROTO;
    if (message->drops != coherence->range_done[from] || coherence->requests_of[from] >= REQUESTS_PER_NODE_MAX)
        return -EPROTO;
    if (coherence_job_forgets(coherence, from, message->page))
        return 0;
    struct coherence_page *page = coherence_table_get(coherence, message->page);
    if (coherence_request_find(coherence, page, KIND_REQUEST, from) != NULL)
        return -EPROTO;
    if ((page->holders & NODE_BIT(from)) && (page->flags & PAGE_PUSHED) && message->held == PAGE_LOST) {
        page->flags &= (uint8_t)~PAGE_PUSHED; /* it took the page that met the request for the answer */
        return 0;
    }
    if ((page->holders & NODE_BIT(from)) && (!write || page->state != PAGE_SHARED || message->held != PAGE_SHARED))
        return -EPROTO; /* it has what it wants */
    request_receive(coherence, page, message->page, from, write);
    coherence_home_run(coherence, message->page);
    return 0;
}

struct coherence_request *coherence_home_pending(const struct coherence *coherence, const struct coherence_page *page)
{
    if (page == NULL || !(page->flags & PAGE_BUSY))
        return NULL;
    struct coherence_request *request = coherence_request_at(coherence, page->queue);
    while (request != NULL && request->pending == 0)
        request = coherence_request_at(coherence, request->next);
    return request;
}

/* What the node says that it had is what the directory says, or its first write came between. */
static bool held_makes_sense(const struct coherence_page *page, const struct wire_page *message)
{
    if (page->state == PAGE_EXCLUSIVE && message->held == PAGE_MODIFIED)
        return message->epoch == page->epoch + 1;
    return message->held == page->state && message->epoch == page->epoch;
}

static bool return_makes_sense(const struct coherence_page *page, const struct coherence_request *request,
                               unsigned from, const struct wire_page *message)
{
    if (request == NULL || !(request->pending & NODE_BIT(from)))
        return false;
    if (message->state != (request->state == PAGE_SHARED ? PAGE_SHARED : PAGE_LOST))
        return false;
    return (message->flags != 0) == (request->source == from) && held_makes_sense(page, message);
}

static void return_take(struct coherence *coherence, struct coherence_page *page, struct coherence_request *request,
                        unsigned from, const struct wire_page *message, const void *data)
{
    request->pending &= ~NODE_BIT(from);
    page->epoch = message->epoch;
    page->flags &= (uint8_t)~PAGE_PUSHED; /* a request that crossed the grant would have come before this answer */
    if (message->state == PAGE_SHARED)
        page->state = PAGE_SHARED;
    else
        page->holders &= ~NODE_BIT(from);
    if (request->source == from)
        request->content = message->flags & WIRE_PAGE_DATA ? CONTENT_DATA : CONTENT_ZERO;
    if (request->pending == 0) {
        coherence_home_finish(coherence, page, request, data != NULL ? data : request->data);
        coherence_home_run(coherence, message->page);
    } else if (data != NULL && request->source == from) {
        coherence_request_keep(coherence, request, data);
    }
}

/*
 * The node could not install what it was granted, or the thread that used the page has left it. If it has been asked
 * for the page since, this is the answer: it will ignore the recall. Otherwise nobody but home may have the contents
 * now.
 */
static int return_gone(struct coherence *coherence, unsigned from, const struct wire_page *message, const void *data)
{
    struct coherence_page *page = coherence_table_find(coherence, message->page);
    if (coherence_job_forgets(coherence, from, message->page) && (page == NULL || !(page->holders & NODE_BIT(from))))
        return 0;
    if (page == NULL || !(page->holders & NODE_BIT(from)) || message->state != PAGE_LOST ||
        !held_makes_sense(page, message))
        return -EPROTO;
    struct coherence_request *request = coherence_home_pending(coherence, page);
    page->epoch = message->epoch;
    page->flags &= (uint8_t)~PAGE_PUSHED;
    page->holders &= ~NODE_BIT(from);
    if (request != NULL && (request->pending & NODE_BIT(from))) {
        return_take(coherence, page, request, from, message, data); /* contents come in any case */
        return 0;
    }
    if (page->holders == 0) {
        int result = home_install(coherence, message->page, data, true);
        COHERENCE_ASSERT(result == 0 || result == -ENOENT);
        page->holders = HOME_BIT;
        page->state = PAGE_MODIFIED;
        page->writer = HOME_NODE;
        page->epoch++; /* it may have been written there */
    }
    return 0;
}

int coherence_home_return(struct coherence *coherence, unsigned from, const struct wire_page *message, const void *data)
{
    uint16_t contents = message->flags & (WIRE_PAGE_DATA | WIRE_PAGE_ZERO);
    if ((message->flags & ~(WIRE_PAGE_DATA | WIRE_PAGE_ZERO | WIRE_PAGE_GONE)) != 0 ||
        contents == (WIRE_PAGE_DATA | WIRE_PAGE_ZERO))
        return -EPROTO;
    if (message->flags & WIRE_PAGE_GONE)
        return contents != 0 ? return_gone(coherence, from, message, data) : -EPROTO;
    struct coherence_page *page = coherence_table_find(coherence, message->page);
    struct coherence_request *request = coherence_home_pending(coherence, page);
    if (!return_makes_sense(page, request, from, message))
        return -EPROTO;
    return_take(coherence, page, request, from, message, data);
    return 0;
}
