/*
 * Sets of addresses: what a peer has mapped of each kind.
 * Not for protection or for what the addresses mean (monitor/mirror.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/pager_private.h"

/* Position of the first range that ends after `address`. */
static size_t range_find(const struct pager_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int range_insert(struct pager_ranges *ranges, size_t position, uint64_t start, uint64_t end)
{
    if (ranges->count == ranges->capacity) {
        size_t capacity = ranges->capacity == 0 ? 64 : 2 * ranges->capacity;
        struct pager_range *grown = realloc(ranges->ranges, capacity * sizeof *grown);
        if (grown == NULL)
            return -ENOMEM;
        ranges->ranges = grown;
        ranges->capacity = capacity;
    }
    struct pager_range *at = ranges->ranges + position;
    memmove(at + 1, at, (ranges->count - position) * sizeof *at);
    *at = (struct pager_range){start, end};
    ranges->count++;
    return 0;
}

static int range_remove(struct pager_ranges *ranges, uint64_t start, uint64_t end)
{
    size_t first = range_find(ranges, start);
    if (first < ranges->count && ranges->ranges[first].start < start) {
        uint64_t old_end = ranges->ranges[first].end;
        ranges->ranges[first].end = start;
        first++;
        if (old_end > end)
            return range_insert(ranges, first, end, old_end);
    }
    size_t last = first;
    while (last < ranges->count && ranges->ranges[last].end <= end)
        last++;
    memmove(ranges->ranges + first, ranges->ranges + last, (ranges->count - last) * sizeof *ranges->ranges);
    ranges->count -= last - first;
    if (first < ranges->count && ranges->ranges[first].start < end)
        ranges->ranges[first].start = end;
    return 0;
}

/* Joins what touches, so that a window does not end where two answers of home met. */
static int range_add(struct pager_ranges *ranges, uint64_t start, uint64_t end)
{
    int error = range_remove(ranges, start, end);
    if (error != 0)
        return error;
    size_t position = range_find(ranges, start);
    bool joins_next = position < ranges->count && ranges->ranges[position].start == end;
    if (position > 0 && ranges->ranges[position - 1].end == start) {
        struct pager_range *previous = &ranges->ranges[position - 1];
        previous->end = joins_next ? previous[1].end : end;
        if (joins_next) {
            memmove(previous + 1, previous + 2, (ranges->count - position - 1) * sizeof *previous);
            ranges->count--;
        }
        return 0;
    }
    if (joins_next) {
        ranges->ranges[position].start = start;
        return 0;
    }
    return range_insert(ranges, position, start, end);
}

int pager_ranges_add(struct pager_ranges *ranges, uint64_t start, uint64_t end)
{
    PAGER_ASSERT(start < end);
    lock_acquire(&ranges->lock);
    int error = range_add(ranges, start, end);
    lock_release(&ranges->lock);
    return error;
}

void pager_ranges_remove(struct pager_ranges *ranges, uint64_t start, uint64_t end)
{
    PAGER_ASSERT(start < end);
    lock_acquire(&ranges->lock);
    int error = range_remove(ranges, start, end);
    lock_release(&ranges->lock);
    if (error != 0)
        pager_fatal("list of mapped ranges: out of memory");
}

uint64_t pager_ranges_end(struct pager_ranges *ranges, uint64_t address)
{
    lock_acquire(&ranges->lock);
    size_t position = range_find(ranges, address);
    bool inside = position < ranges->count && ranges->ranges[position].start <= address;
    uint64_t end = inside ? ranges->ranges[position].end : 0;
    lock_release(&ranges->lock);
    return end;
}
