/*
 * The address-space map at home: its state, lookups, the choice of addresses, and changes of ranges
 * of the map. Not for the program's calls (space_calls.c, space_mremap.c, space_shared.c) nor for
 * what peers know (space_nodes.c).
 */
#include "monitor/space.h"

#include <errno.h>
#include <sys/personality.h>
#include <sys/random.h>

#include "monitor/fatal.h"
#include "monitor/space_private.h"
#include "runtime/pager.h"

/* More than any change of a range needs at once. */
#define NODES_RESERVED 16

struct space space;

void space_initialise(bool shared)
{
    uint64_t random = 0;
    long persona = kernel_call(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0);
    if (persona < 0 || !(persona & ADDR_NO_RANDOMIZE)) {
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
            random = __builtin_ia32_rdtsc() * 0x9e3779b97f4a7c15ul;
    }
    space.shared = shared;
    space.top = SPACE_TOP - page_down(random % SPACE_RANDOM_BYTES);
    if (space_tree_reserve(NODES_RESERVED) != 0)
        span_fatal("no memory for the map of the program's memory");
}

int space_enter(void)
{
    lock_acquire(&space.lock);
    int error = space_tree_reserve(NODES_RESERVED);
    if (error != 0)
        lock_release(&space.lock);
    return error;
}

void space_leave(void)
{
    lock_release(&space.lock);
}

/* ---- lookups -------------------------------------------------------------------------- */

struct space_node *space_first(uint64_t start, uint64_t end)
{
    struct space_node *node = start < end ? space_tree_from(start) : NULL;
    return node && node->entry.mapping.start < end ? node : NULL;
}

bool space_lookup(uint64_t address, struct space_mapping *out)
{
    lock_acquire(&space.lock);
    const struct space_node *node = space_first(address, address + 1);
    if (node)
        *out = node->entry.mapping;
    lock_release(&space.lock);
    return node != NULL;
}

void space_each(bool (*visit)(const struct space_mapping *mapping, void *context), void *context)
{
    lock_acquire(&space.lock);
    const struct space_node *node = space_tree_from(0);
    while (node && visit(&node->entry.mapping, context))
        node = space_tree_from(node->entry.mapping.end);
    lock_release(&space.lock);
}

/* ---- changes of ranges ---------------------------------------------------------------- */

static bool entries_merge(const struct space_entry *a, const struct space_entry *b)
{
    const struct space_mapping *x = &a->mapping, *y = &b->mapping;
    return x->end == y->start && x->protection == y->protection && x->flags == y->flags && x->kind == y->kind &&
           x->nodes == y->nodes && x->object == y->object && x->device == y->device && x->inode == y->inode &&
           a->origin == b->origin && a->system_v == b->system_v && a->not_forked == b->not_forked &&
           (a->origin == 0 || y->offset - x->offset == x->end - x->start);
}

/* Joins equal neighbours from the entry that ends at `start` to the one that starts at `end`. */
static void merge(uint64_t start, uint64_t end)
{
    struct space_node *node = space_tree_from(start ? start - 1 : 0);
    while (node) {
        struct space_node *next = space_tree_from(node->entry.mapping.end);
        if (next == NULL || next->entry.mapping.start > end)
            return;
        if (entries_merge(&node->entry, &next->entry)) {
            uint64_t next_end = next->entry.mapping.end;
            space_tree_remove(next);
            space_tree_resize(node, node->entry.mapping.start, next_end);
        } else {
            node = next;
        }
    }
}

static void entry_cut_start(struct space_entry *entry, uint64_t start)
{
    if (entry->origin != 0)
        entry->mapping.offset += start - entry->mapping.start;
    entry->mapping.start = start;
}

/* Makes `address` a border between entries. */
static void split(uint64_t address)
{
    struct space_node *node = space_first(address, address + 1);
    if (node == NULL || node->entry.mapping.start == address)
        return;
    struct space_node *rest = space_tree_node();
    rest->entry = node->entry;
    entry_cut_start(&rest->entry, address);
    space_tree_resize(node, node->entry.mapping.start, address);
    space_tree_insert(rest);
}

void space_erase(uint64_t start, uint64_t end)
{
    SPAN_ASSERT(start <= end && page_aligned(start) && page_aligned(end));
    if (start == end)
        return;
    split(start);
    split(end);
    struct space_node *node;
    while ((node = space_first(start, end)) != NULL)
        space_tree_remove(node);
}

void space_record(const struct space_entry *entry)
{
    uint64_t start = entry->mapping.start, end = entry->mapping.end;
    SPAN_ASSERT(start < end && end <= SPAN_ZONE_END);
    space_erase(start, end);
    struct space_node *node = space_tree_node();
    node->entry = *entry;
    space_tree_insert(node);
    merge(start, end);
}

void space_change(uint64_t start, uint64_t end, void (*change)(struct space_entry *entry, const void *argument),
                  const void *argument)
{
    SPAN_ASSERT(start <= end && page_aligned(start) && page_aligned(end));
    if (start == end)
        return;
    split(start);
    split(end);
    for (struct space_node *node = space_first(start, end); node; node = space_first(node->entry.mapping.end, end))
        change(&node->entry, argument);
    merge(start, end);
}

static void change_protection(struct space_entry *entry, const void *argument)
{
    entry->mapping.protection = *(const uint32_t *)argument;
}

void space_protect(uint64_t start, uint64_t end, uint32_t protection)
{
    space_change(start, end, change_protection, &protection);
}

static void change_pin(struct space_entry *entry, const void *argument)
{
    (void)argument;
    SPAN_ASSERT(entry->mapping.nodes == 0);
    entry->mapping.kind = SPACE_PINNED;
}

void space_pin(uint64_t start, uint64_t end)
{
    space_change(start, end, change_pin, NULL);
}

void space_resync(uint64_t start, uint64_t end)
{
    split(start);
    split(end);
    const struct space_node *node = space_first(start, end);
    while (node) {
        uint64_t at = node->entry.mapping.start, next = node->entry.mapping.end;
        unsigned char there;
        if (kernel_call(SYS_mincore, (long)at, PAGE_BYTES, (long)&there, 0, 0, 0) == -ENOMEM)
            space_erase(at, next);
        node = space_first(next, end);
    }
    merge(start, end);
}

void space_register(uint64_t start, uint64_t end)
{
    if (space.distributed && pager_register(start, end - start) != 0)
        space_pin(start, end);
}

/* ---- where ---------------------------------------------------------------------------- */

bool space_fits(uint64_t start, uint64_t bytes, uint64_t end)
{
    if (start < SPAN_ZONE_START || start > end || bytes > end - start)
        return false;
    const struct space_node *node = space_tree_from(start);
    if (node == NULL)
        return true;
    uint64_t gap = node->entry.mapping.flags & MAP_GROWSDOWN ? SPACE_STACK_GAP : 0;
    return start + bytes + gap <= node->entry.mapping.start;
}

long space_choose(uint64_t hint, uint64_t bytes, uint64_t align, int flags, uint64_t skip)
{
    bool low = flags & MAP_32BIT;
    uint64_t start = (hint + align - 1) & ~(align - 1);
    if (hint && skip == 0 && space_fits(start, bytes, low ? SPACE_LOW_END : SPAN_ZONE_END))
        return (long)start;
    uint64_t padded = bytes + align - PAGE_BYTES;
    uint64_t floor = low ? SPACE_LOW_START : SPAN_ZONE_START;
    uint64_t ceiling = low ? SPACE_LOW_END : space.top;
    if (skip && skip < ceiling)
        ceiling = skip;
    uint64_t end = space_tree_hole(floor, ceiling, padded);
    if (end == 0 && !low)
        end = space_tree_hole(space.top, skip > space.top ? skip : SPAN_ZONE_END, padded);
    return end ? (long)((end - bytes) & ~(align - 1)) : -ENOMEM;
}
