/*
 * Pages of read-only file mappings: which ranges of a peer mirror one, fetching them, and serving
 * them at home. Not for coherent memory: these pages are never recalled, so the protocol does not
 * know them.
 *
 * Requests are answered in order on one stream, so the oldest request is the one that a grant
 * answers. A range that is dropped while its pages are on their way marks those requests stale:
 * another mapping may be at the address by then.
 */
#include <errno.h>
#include <string.h>

#include "runtime/pager_private.h"

#define FILE_REQUESTS_MAX 1024u /* more threads than that do not fault at once; the others try again */
#define FILE_REFUSALS_MAX 16u

static struct pager_ranges files; /* of this peer */

struct file_wait {
    uint64_t page, since_ns;
    uint32_t count;
    bool stale;
};

/* The loop's own: a ring of requests on their way, and pages that home answered with "nothing" the
 * last time. */
static struct {
    struct file_wait waits[FILE_REQUESTS_MAX];
    uint32_t first, count;
    uint64_t refusals[FILE_REFUSALS_MAX];
    uint32_t refusal_next;
} fetch;

int pager_file_add(uint64_t start, uint64_t end)
{
    return pager_ranges_add(&files, start, end);
}

void pager_file_remove(uint64_t start, uint64_t end)
{
    pager_ranges_remove(&files, start, end);
}

void pager_file_forget(void)
{
    memset(&files, 0, sizeof files);
    memset(&fetch, 0, sizeof fetch);
}

/* ---- peer ------------------------------------------------------------------------------------ */

static struct file_wait *file_wait_at(uint32_t index)
{
    return &fetch.waits[(fetch.first + index) % FILE_REQUESTS_MAX];
}

static bool file_on_its_way(uint64_t page)
{
    for (uint32_t i = 0; i < fetch.count; i++) {
        const struct file_wait *wait = file_wait_at(i);
        if (!wait->stale && page >= wait->page && page < wait->page + wait->count)
            return true;
    }
    return false;
}

bool pager_file_fault(struct pager *pager, uint64_t page)
{
    uint64_t end = pager_ranges_end(&files, page << PAGE_SHIFT) >> PAGE_SHIFT;
    if (end == 0)
        return false;
    if (file_on_its_way(page))
        return true;
    if (fetch.count == FILE_REQUESTS_MAX) {
        userfault_wake(&pager->userfault, page, 1);
        return true;
    }
    uint64_t window_end = (page | (WIRE_FILE_PAGES_MAX - 1)) + 1;
    if (end > window_end)
        end = window_end;
    struct wire_page request = {.page = page, .count = (uint32_t)(end - page)};
    *file_wait_at(fetch.count++) = (struct file_wait){.page = page, .since_ns = pager_now_ns(), .count = request.count};
    pager_send(pager, HOME_NODE, WIRE_FILE_REQUEST, &request, sizeof request, NULL, 0);
    return true;
}

/*
 * Home could read nothing at `page`. The first time the mapping may just have gone: the thread
 * tries again. The second time it is there but has no contents, beyond the end of the file: the
 * page is unmapped here, so that the thread gets SIGSEGV, asks home, and takes its SIGBUS there.
 */
static void file_refused(struct pager *pager, uint64_t page)
{
    for (size_t i = 0; i < FILE_REFUSALS_MAX; i++) {
        if (fetch.refusals[i] != page)
            continue;
        fetch.refusals[i] = 0;
        struct wire_range range = {.start = page << PAGE_SHIFT, .end = (page + 1) << PAGE_SHIFT};
        pager_file_remove(range.start, range.end);
        pager->configuration.callbacks->range(WIRE_RANGE_DROP, &range);
        userfault_wake(&pager->userfault, page, 1);
        return;
    }
    fetch.refusals[fetch.refusal_next++ % FILE_REFUSALS_MAX] = page;
    userfault_wake(&pager->userfault, page, 1);
}

int pager_file_grant(struct pager *pager, const void *payload, size_t bytes)
{
    struct wire_page grant;
    if (bytes < sizeof grant || fetch.count == 0)
        return -EPROTO;
    memcpy(&grant, payload, sizeof grant);
    struct file_wait *wait = file_wait_at(0);
    if (grant.page != wait->page || grant.count > wait->count ||
        bytes != sizeof grant + (size_t)grant.count * PAGE_BYTES)
        return -EPROTO;
    struct file_wait answered = *wait;
    fetch.first = (fetch.first + 1) % FILE_REQUESTS_MAX;
    fetch.count--;
    if (answered.stale) {
        userfault_wake(&pager->userfault, answered.page, answered.count);
        return 0;
    }
    pager_clock_stop(pager, answered.page);
    if (grant.count == 0) {
        file_refused(pager, answered.page);
    } else {
        pager->pages_file += grant.count;
        userfault_install_run(&pager->userfault, grant.page, (const uint8_t *)payload + sizeof grant, grant.count);
    }
    /* Threads that wait for the rest of the window ask for themselves. */
    if (answered.count > grant.count)
        userfault_wake(&pager->userfault, answered.page + grant.count, answered.count - grant.count);
    return 0;
}

void pager_file_dropped(uint64_t start, uint64_t end)
{
    pager_file_remove(start, end);
    for (uint32_t i = 0; i < fetch.count; i++) {
        struct file_wait *wait = file_wait_at(i);
        if (wait->page << PAGE_SHIFT < end && (wait->page + wait->count) << PAGE_SHIFT > start)
            wait->stale = true;
    }
}

bool pager_file_oldest_wait(uint64_t *page, uint64_t *since_ns)
{
    if (fetch.count == 0)
        return false;
    *page = file_wait_at(0)->page;
    *since_ns = file_wait_at(0)->since_ns;
    return true;
}

/* ---- home ------------------------------------------------------------------------------------ */

int pager_file_request(struct pager *pager, unsigned from, const void *payload, size_t bytes)
{
    static uint8_t contents[WIRE_FILE_PAGES_MAX * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    struct wire_page request;
    if (bytes != sizeof request)
        return -EPROTO;
    memcpy(&request, payload, sizeof request);
    if (request.page < SPAN_ZONE_START >> PAGE_SHIFT || request.page >= SPAN_ZONE_END >> PAGE_SHIFT ||
        request.count == 0 || request.count > WIRE_FILE_PAGES_MAX)
        return -EPROTO;
    struct wire_page grant = {.page = request.page};
    grant.count = userfault_read_run(&pager->userfault, request.page, contents, request.count);
    pager_send(pager, from, WIRE_FILE_GRANT, &grant, sizeof grant, contents, (size_t)grant.count * PAGE_BYTES);
    return 0;
}
