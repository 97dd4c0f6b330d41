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

#define RUNS            64u
#define RUN_READ_MAX    256u /* pages asked for ahead of a stream that is new */
#define RUN_WRITE_MAX   8u   /* taking away what another node is about to use costs more */
#define RUN_LEARNED_MIN 4u
#define RUN_LEARNED_MAX 64u

/*
 * A run of pages that are wanted one after the other. While it is new, what is asked for ahead doubles with each fault
 * that continues it. Programs use their buffers again and again: when a run is entered a second time, all of it but the
 * last page is asked for at once. The fault on that page confirms that the run is as long as it was; a pass without it
 * halves what is believed.
 */
struct run {
    uint64_t start, end; /* pages that an earlier pass used */
    uint64_t next;       /* the page after the last fault */
    uint64_t asked;      /* pages before this one have been asked for */
    uint32_t depth;      /* pages to ask for ahead */
    uint32_t used;       /* when it was used last */
    bool write;
    bool learned; /* this pass asked for what an earlier one used, and is not confirmed yet */
};

#define BLOCKS          64u
#define BLOCK_SHIFT     9u /* pages */
#define BLOCK_DEPTH_MAX 6u

/*
 * Peers: memory that nobody has used yet, in whatever order it is touched. As long as what comes for a block of pages
 * is zero, each fault asks for more pages around it, for what it wants itself: home gives memory that is nobody's to a
 * reader alone as well, and lets readers share what others read. Contents that come are another node's, and end that.
 */
static struct block {
    uint64_t number;
    bool fresh;    /* what came last was zero */
    uint8_t depth; /* 1 << depth pages, aligned, are asked for with the next fault */
} blocks[BLOCKS];

static struct pager_ranges memory;
static struct run runs[RUNS];
static struct fresh freshes[FRESH_STREAMS];
static uint32_t run_clock;

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
    memset(runs, 0, sizeof runs);
    memset(freshes, 0, sizeof freshes);
    memset(blocks, 0, sizeof blocks);
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
        if (run_clock - freshes[i].used > run_clock - oldest->used)
            oldest = &freshes[i];
    }
    oldest->window = FRESH_WINDOW_MIN;
    return oldest;
}

static uint64_t zone_cut(uint64_t end)
{
    return end < SPAN_ZONE_END >> PAGE_SHIFT ? end : SPAN_ZONE_END >> PAGE_SHIFT;
}

/* Home: pages that it has to itself and that are not there are zero; the next ones of the window
 * are made so at once. */
void pager_ahead_before(struct pager *pager, const struct userfault_event *event)
{
    if (pager->configuration.node != HOME_NODE || !event->missing ||
        coherence_state(pager->coherence, event->page, NULL) != PAGE_MODIFIED)
        return;
    struct fresh *fresh = fresh_find(event->page);
    fresh->used = ++run_clock;
    uint64_t first = event->page + 1, end = zone_cut(event->page + fresh->window), last = first;
    while (last < end && coherence_state(pager->coherence, last, NULL) == PAGE_MODIFIED)
        last++;
    fresh->next = last;
    userfault_zero_run(&pager->userfault, first, last - first);
}

static bool run_continues(const struct run *run, const struct userfault_event *event)
{
    return event->page >= run->next && event->page <= run->asked && event->write == run->write;
}

/* The run that the fault continues, else one that it enters again, else the one that rested longest. */
static struct run *run_find(const struct userfault_event *event)
{
    struct run *entered = NULL, *oldest = &runs[0];
    for (unsigned i = 0; i < RUNS; i++) {
        struct run *run = &runs[i];
        if (run_continues(run, event))
            return run;
        if (event->page >= run->start && event->page < run->end && event->write == run->write)
            entered = run;
        if (run_clock - run->used > run_clock - oldest->used)
            oldest = run;
    }
    if (entered != NULL)
        return entered;
    *oldest = (struct run){.start = event->page, .end = event->page + 1, .write = event->write};
    return oldest;
}

/* Another pass over a run, from `page` on. */
static void run_enter(struct run *run, uint64_t page)
{
    if (run->learned)
        run->end = run->start + (run->end - run->start) / 2;
    uint64_t left = run->end > page ? run->end - page : 0;
    run->learned = left >= RUN_LEARNED_MIN;
    run->depth = 0;
    run->asked = page + 1;
    if (run->learned)
        run->depth = (uint32_t)(left < RUN_LEARNED_MAX ? left : RUN_LEARNED_MAX) - 2;
}

static void run_continue(struct run *run, uint64_t page)
{
    uint32_t most = run->write ? RUN_WRITE_MAX : RUN_READ_MAX;
    if (run->learned) {
        if (page + 1 < run->asked)
            return; /* asked for already, and not there yet or gone again */
        run->learned = false;
        run->depth = 0;
    } else {
        run->depth = run->depth == 0 ? 1 : 2 * run->depth;
    }
    if (run->depth > most)
        run->depth = most;
    if (run->end < page + 1)
        run->end = page + 1;
    if (run->asked < page + 1)
        run->asked = page + 1;
}

/* Would a fault on the page have to ask for something? */
static bool ahead_wanted(const struct pager *pager, uint64_t page, bool write)
{
    enum page_state state = coherence_state(pager->coherence, page, NULL);
    return write ? state != PAGE_MODIFIED : state == PAGE_LOST;
}

static struct block *block_of(uint64_t page)
{
    uint64_t number = page >> BLOCK_SHIFT;
    struct block *block = &blocks[number % BLOCKS];
    if (block->number != number)
        *block = (struct block){.number = number};
    return block;
}

void pager_ahead_came(uint64_t page, bool zero)
{
    struct block *block = block_of(page);
    block->fresh = zero;
    if (!zero)
        block->depth = block->depth > 2 ? block->depth - 2 : 0;
}

/* A fault on memory that is mapped here up to `mapped_end`. */
static void block_ask(struct pager *pager, uint64_t page, bool write, uint64_t mapped_end)
{
    struct block *block = block_of(page);
    if (!block->fresh)
        return;
    uint64_t count = 1ull << block->depth, first = page & ~(count - 1), end = first + count;
    if (block->depth < BLOCK_DEPTH_MAX)
        block->depth++;
    if (end > mapped_end)
        end = mapped_end;
    for (; first < end; first++) {
        bool mapped = first > page || pager_ranges_end(&memory, first << PAGE_SHIFT) >> PAGE_SHIFT == mapped_end;
        if (first != page && mapped && coherence_state(pager->coherence, first, NULL) == PAGE_LOST)
            pager_fault(pager, first, write);
    }
}

void pager_ahead_after(struct pager *pager, const struct userfault_event *event)
{
    bool home = pager->configuration.node == HOME_NODE;
    if (pager->configuration.no_ahead)
        return;
    if (home && event->missing && coherence_state(pager->coherence, event->page, NULL) == PAGE_MODIFIED)
        return; /* fresh memory */
    struct run *run = run_find(event);
    if (run_continues(run, event))
        run_continue(run, event->page);
    else
        run_enter(run, event->page);
    run->used = ++run_clock;
    run->next = event->page + 1;
    uint64_t end = zone_cut(run->next + run->depth);
    if (!home) {
        uint64_t mapped_end = pager_ranges_end(&memory, event->page << PAGE_SHIFT) >> PAGE_SHIFT;
        if (end > mapped_end)
            end = mapped_end;
        if (event->missing)
            block_ask(pager, event->page, event->write, mapped_end);
    }
    for (; run->asked < end; run->asked++) {
        if (ahead_wanted(pager, run->asked, run->write))
            pager_fault(pager, run->asked, run->write);
        else if (home && !run->learned)
            break; /* what home has to itself is not part of a stream from elsewhere */
    }
}

void pager_ahead_want(struct pager *pager, uint64_t page, bool write)
{
    bool mapped = pager->configuration.node == HOME_NODE || pager_ranges_end(&memory, page << PAGE_SHIFT) != 0;
    if (mapped && page < SPAN_ZONE_END >> PAGE_SHIFT && page >= SPAN_ZONE_START >> PAGE_SHIFT &&
        ahead_wanted(pager, page, write))
        pager_fault(pager, page, write);
}
