/*
 * The invariants of the coherence protocol that one node can see. For tests, and for a session that
 * wants to be sure. Not for what only all nodes together show: tests/unit/test_coherence.c.
 */
#include "runtime/coherence_private.h"

static void check_home(const struct coherence *coherence, const struct coherence_page *page, uint64_t number)
{
    const struct coherence_request *pending = coherence_home_pending(coherence, page);
    bool busy = (page->flags & PAGE_BUSY) != 0;
    COHERENCE_ASSERT(busy == (pending != NULL));
    COHERENCE_ASSERT(page->epoch != 0);
    COHERENCE_ASSERT((page->holders & ~(coherence->nodes | HOME_BIT)) == 0);
    COHERENCE_ASSERT(page->holders != 0 || busy);
    COHERENCE_ASSERT(page->state == PAGE_SHARED || (page->holders & (page->holders - 1)) == 0);
    COHERENCE_ASSERT(page->state != PAGE_LOST && (page->state != PAGE_EXCLUSIVE || page->holders != HOME_BIT));
    if (pending == NULL)
        return;
    COHERENCE_ASSERT(pending->page == number && (pending->pending & ~page->holders) == 0);
    COHERENCE_ASSERT((pending->pending & (HOME_BIT | NODE_BIT(pending->node))) == 0 || pending->node == HOME_NODE);
    COHERENCE_ASSERT(!pending->delayed);
}

static void check_peer(const struct coherence *coherence, const struct coherence_page *page, uint64_t number)
{
    COHERENCE_ASSERT(page->holders == 0 && !(page->flags & PAGE_BUSY));
    COHERENCE_ASSERT(page->state == PAGE_LOST || page->epoch != 0);
    unsigned requests = 0, recalls = 0;
    const struct coherence_request *request = coherence_request_at(coherence, page->queue);
    for (; request != NULL; request = coherence_request_at(coherence, request->next)) {
        COHERENCE_ASSERT(request->page == number);
        requests += request->kind == KIND_REQUEST;
        recalls += request->kind == KIND_RECALL;
        COHERENCE_ASSERT(request->kind != KIND_REQUEST || page->state <= PAGE_SHARED);
        COHERENCE_ASSERT(request->kind != KIND_RECALL || (page->state != PAGE_LOST && request->delayed));
    }
    COHERENCE_ASSERT(requests <= 1 && recalls <= 1);
}

void coherence_check(const struct coherence *coherence)
{
    size_t listed = 0, queued = 0;
    for (const struct coherence_request *request = coherence->oldest; request != NULL; request = request->newer)
        listed++;
    const struct coherence_block *block;
    for (uint64_t at = 0; (block = coherence_table_block(coherence, at, PAGE_END)) != NULL;) {
        for (unsigned i = 0; i < BLOCK_PAGES; i++) {
            const struct coherence_page *page = &block->pages[i];
            if (coherence->node == HOME_NODE)
                check_home(coherence, page, block->first + i);
            else
                check_peer(coherence, page, block->first + i);
            for (uint32_t at_request = page->queue; at_request != 0; queued++)
                at_request = coherence_request_at(coherence, at_request)->next;
        }
        at = block->first + BLOCK_PAGES;
    }
    COHERENCE_ASSERT(listed == queued);
}
