/*
 * Write protection of the node's own pages, many at once: a page is read-only before its contents leave, and making it
 * so costs the same for one page as for hundreds, for what is expensive is that processors forget the old translation.
 * So the neighbours of a page are protected with it, in a window that grows while other nodes ask for more of the 2 MiB
 * around it, and shrinks when threads here write to what was protected for nothing. Not for what a page's state is
 * (coherence.c): one that is protected too early is the node's own as before, and its next write is a short fault.
 *
 * Pages that follow each other are read at once as well, for the same reason.
 *
 * Whether a page is protected is asked of the kernel (/proc/self/pagemap), never remembered beyond a turn of the loop
 * or the next mapping: other memory may be in the same place by then.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "runtime/pager_private.h"

#define BLOCK_SHIFT      9u /* pages */
#define WINDOWS          1024u
#define COOL_MAX         64u
#define PROTECTION_PAGES 64u /* looked at at once */
#define READ_PAGES       16u

/* What is known of a block of memory. */
static struct window {
    uint64_t block;
    uint64_t page;    /* protected last: a page that comes and goes alone says nothing of its neighbours */
    uint8_t shift;    /* so many pages are protected at once */
    uint8_t cool;     /* so many times before the window grows again */
    uint8_t cool_for; /* that number after the next mistake */
} windows[WINDOWS];

static struct {
    uint64_t first;
    unsigned count; /* 0: nothing is known */
    enum userfault_protection are[PROTECTION_PAGES];
} seen;

/* Another thread has mapped memory, perhaps where other memory was; and what of that the loop knows. */
static _Atomic uint32_t mapped;
static uint32_t mapped_known;

/* What was read in one go of pages that follow each other, all of them protected. */
static struct {
    uint64_t first, next; /* the page after the one that was read last */
    unsigned count;
    uint8_t data[READ_PAGES * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
} run;

static struct window *window_slot(uint64_t block)
{
    return &windows[(block * 0x9e3779b97f4a7c15ull) >> 54];
}

/* A new block is like the one before it. */
static struct window *window_of(uint64_t page)
{
    uint64_t block = page >> BLOCK_SHIFT;
    struct window *window = window_slot(block), *before = window_slot(block - 1);
    if (window->block != block)
        *window =
            (struct window){.block = block, .cool_for = 1, .shift = before->block == block - 1 ? before->shift : 0};
    return window;
}

void pager_window_forget(void)
{
    seen.count = run.count = 0;
}

void pager_window_mapped(void)
{
    atomic_fetch_add(&mapped, 1);
}

static enum userfault_protection protection_of(struct pager *pager, uint64_t page)
{
    uint32_t now = atomic_load(&mapped);
    if (now != mapped_known)
        pager_window_forget();
    mapped_known = now;
    if (page - seen.first >= seen.count) {
        /* Many at once where pages follow each other; looking at all of them for one takes three times as long. */
        bool follows = page == run.next || page == run.next + 1 || page == seen.first + seen.count;
        seen.first = follows ? page & ~(uint64_t)(PROTECTION_PAGES - 1) : page;
        seen.count = userfault_protections(&pager->userfault, seen.first, seen.are, follows ? PROTECTION_PAGES : 1);
        if (page - seen.first >= seen.count)
            return USERFAULT_WRITABLE;
    }
    return seen.are[page - seen.first];
}

int pager_window_protect(struct pager *pager, uint64_t page)
{
    enum userfault_protection protection = protection_of(pager, page);
    if (protection == USERFAULT_PROTECTED)
        return 0;
    if (protection == USERFAULT_ABSENT) /* whether it is mapped at all only the page itself tells */
        return userfault_protect(&pager->userfault, page);
    struct window *window = window_of(page);
    if (window->cool > 0)
        window->cool--;
    else if (window->page != page && window->shift < BLOCK_SHIFT)
        window->shift++;
    window->page = page;
    pager_window_forget();
    uint64_t count = 1ull << window->shift;
    int result = userfault_protect_run(&pager->userfault, page & ~(count - 1), count);
    if (result == -ENOENT && count > 1) { /* there is memory of another kind */
        window->shift = 0;
        result = userfault_protect(&pager->userfault, page);
    }
    return result;
}

void pager_window_lift(struct pager *pager, uint64_t page)
{
    struct window *window = window_of(page);
    uint64_t count = 1ull << window->shift, low = page & ~(count - 1), high = low + count;
    uint64_t start = page, end = page + 1;
    window->shift = window->shift > 2 ? window->shift - 2 : 0;
    window->cool = window->cool_for;
    if (window->cool_for < COOL_MAX)
        window->cool_for *= 2;
    while (start > low && coherence_state(pager->coherence, start - 1, NULL) == PAGE_MODIFIED)
        start--;
    while (end < high && coherence_state(pager->coherence, end, NULL) == PAGE_MODIFIED)
        end++;
    pager_window_forget();
    if (end - start > 1) /* it is only a help: errors do not matter */
        userfault_unprotect_run(&pager->userfault, start, end - start);
}

/* Reads ahead as far as the pages are protected: what cannot be written may be handed out later in this turn. */
static void run_read(struct pager *pager, uint64_t page)
{
    unsigned count = 0;
    while (count < READ_PAGES && protection_of(pager, page + count) == USERFAULT_PROTECTED)
        count++;
    run.first = page;
    run.count = count > 1 ? userfault_read_run(&pager->userfault, page, run.data, count) : 0;
}

int pager_window_read(struct pager *pager, uint64_t page, void *data, bool populate)
{
    if (mapped_known != atomic_load(&mapped))
        pager_window_forget();
    if (page - run.first >= run.count && page == run.next)
        run_read(pager, page);
    run.next = page + 1;
    if (page - run.first >= run.count)
        return userfault_read(&pager->userfault, page, data, populate);
    memcpy(data, run.data + (page - run.first) * PAGE_BYTES, PAGE_BYTES);
    return userfault_is_zero(data);
}
