/*
 * What will be wanted next: fresh memory at home is filled in windows, and pages are asked for
 * ahead of a stream of faults. Not for correctness: all of this could as well not happen. Every
 * page goes through the protocol as if it had faulted.
 */
#include <string.h>

#include "runtime/pager_private.h"

/* Pages made in bulk cost a fraction of a fault each, but also memory: only streams of faults get
 * wide windows. */
#define FRESH_STREAMS    4u
#define FRESH_WINDOW_MIN 4u
#define FRESH_WINDOW_MAX USERFAULT_ZERO_RUN_MAX

struct fresh {
    uint64_t next;   /* the page after the window */
    uint32_t window; /* pages */
    uint32_t used;   /* when it was used last */
};

#define STREAMS          8u
#define STREAM_READ_MAX  32u
#define STREAM_WRITE_MAX 8u /* taking away what another node is about to use costs more */

struct stream {
    uint64_t next;  /* the page that would continue it */
    uint64_t asked; /* pages before this one have been asked for */
    uint32_t depth; /* pages to ask for ahead */
    uint32_t used;  /* when it was used last */
    bool write;
};

static struct pager_ranges memory;
static struct stream streams[STREAMS];
static struct fresh freshes[FRESH_STREAMS];
static uint32_t stream_clock;

int pager_ahead_add(uint64_t start, uint64_t end)
{
    return pager_ranges_add(&memory, start, end);
}

void pager_ahead_remove(uint64_t start, uint64_t end)
{
    pager_ranges_remove(&memory, start, end);
}

void pager_ahead_forget(void)
{
    memset(&memory, 0, sizeof memory);
    memset(streams, 0, sizeof streams);
    memset(freshes, 0, sizeof freshes);
}

/* The window that ends where the fault is, grown; or a new one in place of the one that rested
 * longest. */
static struct fresh *fresh_find(uint64_t page)
{
    struct fresh *oldest = &freshes[0];
    for (unsigned i = 0; i < FRESH_STREAMS; i++) {
        if (freshes[i].next == page) {
            if (freshes[i].window < FRESH_WINDOW_MAX)
                freshes[i].window *= 2;
            return &freshes[i];
        }
        if (stream_clock - freshes[i].used > stream_clock - oldest->used)
            oldest = &freshes[i];
    }
    oldest->window = FRESH_WINDOW_MIN;
    return oldest;
}

/* Home: pages that it has to itself and that are not there are zero; the next ones of the window
 * are made so at once. */
void pager_ahead_before(struct pager *pager, const struct userfault_event *event)
{
    if (pager->configuration.node != HOME_NODE || !event->missing ||
        coherence_state(pager->coherence, event->page, NULL) != PAGE_MODIFIED)
        return;
    struct fresh *fresh = fresh_find(event->page);
    fresh->used = ++stream_clock;
    uint64_t first = event->page + 1, end = event->page + fresh->window, last = first;
    while (last < end && coherence_state(pager->coherence, last, NULL) == PAGE_MODIFIED)
        last++;
    fresh->next = last;
    userfault_zero_run(&pager->userfault, first, last - first);
}

/* The stream that the fault continues, or a new one in place of the one that rested longest. */
static struct stream *stream_find(const struct userfault_event *event)
{
    struct stream *oldest = &streams[0];
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *stream = &streams[i];
        if (event->page >= stream->next && event->page <= stream->asked &&
            event->write == stream->write) {
            uint32_t most = stream->write ? STREAM_WRITE_MAX : STREAM_READ_MAX;
            stream->depth = stream->depth == 0 ? 1 : 2 * stream->depth;
            if (stream->depth > most)
                stream->depth = most;
            return stream;
        }
        if (stream_clock - stream->used > stream_clock - oldest->used)
            oldest = stream;
    }
    *oldest = (struct stream){.asked = event->page + 1, .write = event->write};
    return oldest;
}

/* Would a fault on the page have to ask for something? */
static bool ahead_wanted(const struct pager *pager, uint64_t page, bool write)
{
    enum page_state state = coherence_state(pager->coherence, page, NULL);
    return write ? state != PAGE_MODIFIED : state == PAGE_LOST;
}

void pager_ahead_after(struct pager *pager, const struct userfault_event *event)
{
    bool home = pager->configuration.node == HOME_NODE;
    if (home && event->missing &&
        coherence_state(pager->coherence, event->page, NULL) == PAGE_MODIFIED)
        return; /* fresh memory */
    struct stream *stream = stream_find(event);
    stream->used = ++stream_clock;
    stream->next = event->page + 1;
    if (stream->asked < stream->next)
        stream->asked = stream->next;
    uint64_t end = stream->next + stream->depth;
    if (!home) {
        uint64_t mapped_end = pager_ranges_end(&memory, event->page << PAGE_SHIFT) >> PAGE_SHIFT;
        if (end > mapped_end)
            end = mapped_end;
    }
    for (; stream->asked < end; stream->asked++) {
        if (ahead_wanted(pager, stream->asked, stream->write))
            coherence_fault(pager->coherence, stream->asked, stream->write);
        else if (home)
            break; /* what home has to itself is not part of a stream from elsewhere */
    }
}
