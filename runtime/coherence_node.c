/*
 * Nodes of the coherence protocol at home: joining, and what to do about pages when one is gone.
 * Not for telling the user (the monitor does) nor for noticing that a node is gone (the channel
 * does).
 */
#include "runtime/coherence_private.h"

void coherence_node_add(struct coherence *coherence, unsigned node)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE && node != HOME_NODE && node < NODES_MAX);
    COHERENCE_ASSERT(!(coherence->nodes & NODE_BIT(node)));
    coherence->nodes |= NODE_BIT(node);
    coherence->range_sent[node] = coherence->range_done[node] = 0;
}

size_t coherence_node_sole(const struct coherence *coherence, unsigned node)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE && node != HOME_NODE && node < NODES_MAX);
    size_t pages = 0;
    const struct coherence_block *block;
    for (uint64_t at = 0; (block = coherence_table_block(coherence, at, PAGE_END)) != NULL;) {
        for (unsigned i = 0; i < BLOCK_PAGES; i++)
            pages += block->pages[i].holders == NODE_BIT(node);
        at = block->first + BLOCK_PAGES;
    }
    return pages;
}

/*
 * What the node asked for and did not get. Recalls for it that are under way cannot be undone, so
 * home takes the page in its place. Returns the pages that are lost: the node was upgrading the
 * copy from which all others were to vanish.
 */
static size_t requests_of_lost(struct coherence *coherence, unsigned node)
{
    size_t lost = 0;
    struct coherence_request *next;
    for (struct coherence_request *request = coherence->oldest; request != NULL; request = next) {
        next = request->newer;
        if (request->node != node)
            continue;
        struct coherence_page *page = coherence_table_find(coherence, request->page);
        if (request->pending == 0) {
            coherence_request_remove(coherence, page, request);
            continue;
        }
        coherence->requests_of[node]--;
        coherence->requests_of[HOME_NODE]++;
        request->node = HOME_NODE;
        if (request->source == NODES_MAX && !(page->holders & HOME_BIT)) {
            request->content = CONTENT_ZERO;
            lost++;
        }
    }
    return lost;
}

/* The busy request no longer waits for `node`. Returns 1 when the contents are lost with it. */
static size_t answer_of_lost(struct coherence *coherence, struct coherence_page *page,
                             struct coherence_request *request, unsigned node)
{
    size_t lost = 0;
    request->pending &= ~NODE_BIT(node);
    if (request->source == node) {
        request->source = NODES_MAX;
        uint64_t others = page->holders & ~(HOME_BIT | NODE_BIT(request->node));
        if (request->state == PAGE_SHARED && others != 0) {
            coherence_home_recall(coherence, page, request, node_first(others), true);
        } else { /* the other copies are on their way out without contents */
            request->content = CONTENT_ZERO;
            lost = 1;
        }
    }
    if (request->pending == 0)
        coherence_home_finish(coherence, page, request, request->data);
    return lost;
}

static size_t page_of_lost(struct coherence *coherence, struct coherence_page *page, unsigned node)
{
    size_t lost = 0;
    struct coherence_request *request = coherence_home_pending(coherence, page);
    if (page->holders & NODE_BIT(node)) {
        page->holders &= ~NODE_BIT(node);
        if (page->state == PAGE_EXCLUSIVE)
            page->epoch++; /* it may have written, which nobody was told */
        if (request != NULL && (request->pending & NODE_BIT(node))) {
            lost = answer_of_lost(coherence, page, request, node);
        } else if (page->holders == 0 && request == NULL) {
            lost = 1;
            page->holders = HOME_BIT;
            page->state = PAGE_MODIFIED;
            page->epoch++;
        }
    }
    return lost;
}

size_t coherence_node_lost(struct coherence *coherence, unsigned node)
{
    COHERENCE_ASSERT(coherence->node == HOME_NODE && node != HOME_NODE && node < NODES_MAX);
    if (!(coherence->nodes & NODE_BIT(node)))
        return 0;
    coherence->nodes &= ~NODE_BIT(node);
    size_t lost = requests_of_lost(coherence, node);
    struct coherence_block *block;
    for (uint64_t at = 0; (block = coherence_table_block(coherence, at, PAGE_END)) != NULL;) {
        for (unsigned i = 0; i < BLOCK_PAGES; i++) {
            lost += page_of_lost(coherence, &block->pages[i], node);
            if (block->pages[i].queue != 0)
                coherence_home_run(coherence, block->first + i);
        }
        at = block->first + BLOCK_PAGES;
    }
    coherence_jobs_node_lost(coherence, node);
    coherence_jobs_advance(coherence);
    return lost;
}
