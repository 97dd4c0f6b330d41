/*
 * The page table of the coherence protocol: a root of branches (8 GiB), of blocks (2 MiB), of
 * pages; 12 KiB a block. Not for what a page's fields mean: coherence_home.c and coherence_peer.c.
 */
#include <stdlib.h>

#include "runtime/coherence_private.h"

#define BRANCH_PAGES_SHIFT (BLOCK_SHIFT + BRANCH_SHIFT)

static uint64_t block_index(uint64_t page)
{
    return (page >> BLOCK_SHIFT) & (BRANCH_BLOCKS - 1);
}

struct coherence_page *coherence_table_find(const struct coherence *coherence, uint64_t page)
{
    COHERENCE_ASSERT(page < PAGE_END);
    const struct coherence_branch *branch = coherence->branches[page >> BRANCH_PAGES_SHIFT];
    if (branch == NULL)
        return NULL;
    struct coherence_block *block = branch->blocks[block_index(page)];
    return block != NULL ? &block->pages[page & (BLOCK_PAGES - 1)] : NULL;
}

void coherence_page_reset(const struct coherence *coherence, struct coherence_page *page)
{
    bool home = coherence->node == HOME_NODE;
    uint32_t queue = page->queue;
    COHERENCE_ASSERT(!(page->flags & PAGE_BUSY));
    *page = (struct coherence_page){
        .holders = home ? HOME_BIT : 0,
        .state = home ? PAGE_MODIFIED : PAGE_LOST,
        .epoch = home ? EPOCH_FIRST : 0,
        .queue = queue,
    };
}

static struct coherence_block *block_create(const struct coherence *coherence, uint64_t page)
{
    struct coherence_block *block = calloc(1, sizeof *block);
    COHERENCE_ASSERT(block != NULL);
    block->first = page & ~(uint64_t)(BLOCK_PAGES - 1);
    for (unsigned i = 0; i < BLOCK_PAGES; i++)
        coherence_page_reset(coherence, &block->pages[i]);
    return block;
}

struct coherence_page *coherence_table_get(struct coherence *coherence, uint64_t page)
{
    COHERENCE_ASSERT(page < PAGE_END);
    struct coherence_branch **branch = &coherence->branches[page >> BRANCH_PAGES_SHIFT];
    if (*branch == NULL) {
        *branch = calloc(1, sizeof **branch);
        COHERENCE_ASSERT(*branch != NULL);
    }
    struct coherence_block **block = &(*branch)->blocks[block_index(page)];
    if (*block == NULL) {
        *block = block_create(coherence, page);
        (*branch)->used++;
    }
    return &(*block)->pages[page & (BLOCK_PAGES - 1)];
}

struct coherence_block *coherence_table_block(const struct coherence *coherence, uint64_t page, uint64_t end)
{
    while (page < end) {
        const struct coherence_branch *branch = coherence->branches[page >> BRANCH_PAGES_SHIFT];
        if (branch == NULL) {
            page = ((page >> BRANCH_PAGES_SHIFT) + 1) << BRANCH_PAGES_SHIFT;
            continue;
        }
        struct coherence_block *block = branch->blocks[block_index(page)];
        if (block != NULL)
            return block; /* NOLINT(clang-analyzer-unix.Malloc): what is freed is taken out of the table */
        page = ((page >> BLOCK_SHIFT) + 1) << BLOCK_SHIFT;
    }
    return NULL;
}

void coherence_table_free_block(struct coherence *coherence, struct coherence_block *block)
{
    struct coherence_branch **branch = &coherence->branches[block->first >> BRANCH_PAGES_SHIFT];
    COHERENCE_ASSERT(*branch != NULL && (*branch)->blocks[block_index(block->first)] == block);
    (*branch)->blocks[block_index(block->first)] = NULL;
    free(block);
    if (--(*branch)->used == 0) {
        free(*branch);
        *branch = NULL;
    }
}

void coherence_table_reset(struct coherence *coherence, uint64_t start, uint64_t end)
{
    struct coherence_block *block;
    for (uint64_t at = start; (block = coherence_table_block(coherence, at, end)) != NULL;) {
        uint64_t first = block->first > start ? block->first : start;
        uint64_t last = block->first + BLOCK_PAGES < end ? block->first + BLOCK_PAGES : end;
        bool queued = false;
        for (uint64_t page = first; page < last; page++) {
            coherence_page_reset(coherence, &block->pages[page - block->first]);
            queued |= block->pages[page - block->first].queue != 0;
        }
        at = block->first + BLOCK_PAGES;
        if (last - first == BLOCK_PAGES && !queued)
            coherence_table_free_block(coherence, block);
    }
}

void coherence_table_destroy(struct coherence *coherence)
{
    struct coherence_block *block;
    while ((block = coherence_table_block(coherence, 0, PAGE_END)) != NULL)
        coherence_table_free_block(coherence, block);
}
