/*
 * The mirror: what this peer has mapped of the program's address space.
 *
 * A range is mapped without access, goes under the pager, and only then becomes accessible: a touch
 * in between would find a page of zeros that home knows nothing of.
 */
#include "monitor/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "monitor/fatal.h"
#include "runtime/kernel.h"
#include "runtime/lock.h"
#include "runtime/pager.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define RANGES_FIRST 256

struct range {
    uint64_t start, end;
    uint32_t protection, kind;
};

/* Sorted, disjoint, equal neighbours merged. The generation is read without the lock. */
static struct {
    struct lock lock;
    struct range *ranges;
    size_t count, capacity;
    uint64_t generation;
} mirror;

void mirror_initialise(void)
{
    free(mirror.ranges);
    memset(&mirror, 0, sizeof mirror);
}

/* ---- the list ------------------------------------------------------------------------- */

/* Position of the first range that ends after `address`. */
static size_t range_find(uint64_t address)
{
    size_t low = 0, high = mirror.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mirror.ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Room for `more` ranges. 0 or -ENOMEM. */
static int ranges_reserve(size_t more)
{
    size_t wanted = mirror.count + more;
    if (wanted <= mirror.capacity)
        return 0;
    size_t capacity = mirror.capacity ? mirror.capacity : RANGES_FIRST;
    while (capacity < wanted)
        capacity *= 2;
    struct range *ranges = realloc(mirror.ranges, capacity * sizeof *ranges);
    if (ranges == NULL)
        return -ENOMEM;
    mirror.ranges = ranges;
    mirror.capacity = capacity;
    return 0;
}

static void range_insert(size_t position, struct range range)
{
    SPAN_ASSERT(mirror.count < mirror.capacity && position <= mirror.count && range.start < range.end);
    memmove(mirror.ranges + position + 1, mirror.ranges + position, (mirror.count - position) * sizeof range);
    mirror.ranges[position] = range;
    mirror.count++;
}

static void range_remove(size_t position)
{
    mirror.count--;
    memmove(mirror.ranges + position, mirror.ranges + position + 1, (mirror.count - position) * sizeof *mirror.ranges);
}

/* Makes `address` a border; needs room for one range. */
static void range_split(uint64_t address)
{
    size_t position = range_find(address);
    if (position == mirror.count || mirror.ranges[position].start >= address)
        return;
    struct range rest = mirror.ranges[position];
    mirror.ranges[position].end = address;
    rest.start = address;
    range_insert(position + 1, rest);
}

/* Joins equal neighbours from the one that ends at `start` to the one that starts at `end`. */
static void ranges_merge(uint64_t start, uint64_t end)
{
    size_t position = range_find(start ? start - 1 : 0);
    while (position + 1 < mirror.count && mirror.ranges[position + 1].start <= end) {
        struct range *range = &mirror.ranges[position], *next = range + 1;
        if (range->end == next->start && range->protection == next->protection && range->kind == next->kind) {
            range->end = next->end;
            range_remove(position + 1);
        } else {
            position++;
        }
    }
}

/* ---- adding --------------------------------------------------------------------------- */

static long range_protect(uint64_t start, uint64_t end, uint32_t protection)
{
    return kernel_call(SYS_mprotect, (long)start, (long)(end - start), (long)protection, 0, 0, 0);
}

/* Maps [start, end), where nothing is mapped, and records it. Needs room for one range. */
static int range_map(uint64_t start, uint64_t end, const struct wire_mapping *mapping)
{
    const long flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | MAP_FIXED_NOREPLACE;
    long result = kernel_call(SYS_mmap, (long)start, (long)(end - start), PROT_NONE, flags, -1, 0);
    if (result < 0)
        return (int)result;
    if (mapping->kind == WIRE_MAPPING_FILE)
        result = pager_register_file(start, end - start);
    else
        result = pager_register(start, end - start);
    if (result >= 0 && mapping->protection != PROT_NONE)
        result = range_protect(start, end, mapping->protection);
    if (result < 0) {
        kernel_call(SYS_munmap, (long)start, (long)(end - start), 0, 0, 0, 0);
        return (int)result;
    }
    range_insert(range_find(start), (struct range){start, end, mapping->protection, mapping->kind});
    return 0;
}

/* The part of `range` inside [start, end) gets the protection of the answer. Needs room for two
 * ranges. */
static int range_update(uint64_t start, uint64_t end, const struct wire_mapping *mapping)
{
    const struct range *range = &mirror.ranges[range_find(start)];
    if (range->kind != mapping->kind)
        return -EPROTO; /* home drops a range before it becomes something else */
    if (range->protection == mapping->protection)
        return 0;
    long result = range_protect(start, end, mapping->protection);
    if (result < 0)
        return (int)result;
    range_split(start);
    range_split(end);
    mirror.ranges[range_find(start)].protection = mapping->protection;
    return 0;
}

static int add(const struct wire_mapping *mapping)
{
    const uint32_t known = PROT_READ | PROT_WRITE | PROT_EXEC;
    bool file = mapping->kind == WIRE_MAPPING_FILE;
    if ((!file && mapping->kind != WIRE_MAPPING_MEMORY) || mapping->start % PAGE_BYTES || mapping->end % PAGE_BYTES ||
        mapping->start < SPAN_ZONE_START || mapping->start >= mapping->end || mapping->end > SPAN_ZONE_END ||
        (mapping->protection & ~known) || (file && (mapping->protection & PROT_WRITE)))
        return -EPROTO;
    int error = 0;
    for (uint64_t at = mapping->start; at < mapping->end && error == 0;) {
        error = ranges_reserve(2);
        if (error != 0)
            break;
        size_t position = range_find(at);
        const struct range *range = position < mirror.count ? &mirror.ranges[position] : NULL;
        uint64_t end = mapping->end;
        if (range == NULL || range->start > at) {
            if (range && range->start < end)
                end = range->start;
            error = range_map(at, end, mapping);
        } else {
            if (range->end < end)
                end = range->end;
            error = range_update(at, end, mapping);
        }
        at = end;
    }
    ranges_merge(mapping->start, mapping->end);
    return error;
}

int mirror_add(const struct wire_mapping *mapping)
{
    lock_acquire(&mirror.lock);
    int error = add(mapping);
    lock_release(&mirror.lock);
    return error;
}

int mirror_add_current(const struct wire_mapping *mapping, uint64_t generation)
{
    lock_acquire(&mirror.lock);
    int error = mirror.generation == generation ? add(mapping) : -EAGAIN;
    lock_release(&mirror.lock);
    return error;
}

/* ---- range messages ------------------------------------------------------------------- */

/* The loop cannot refuse, and going on with a mapping that home believes gone would be silent
 * corruption. */
static void require(long result, const char *what, const struct wire_range *range)
{
    if (result < 0)
        span_fatal("%s of 0x%lx-0x%lx on a peer: error %ld", what, range->start, range->end, -result);
}

void mirror_range(enum wire_type type, const struct wire_range *range)
{
    lock_acquire(&mirror.lock);
    require(ranges_reserve(2), "list of mappings", range);
    range_split(range->start);
    range_split(range->end);
    size_t position = range_find(range->start);
    while (position < mirror.count && mirror.ranges[position].start < range->end) {
        struct range *mapped = &mirror.ranges[position];
        if (type == WIRE_RANGE_PROTECT) {
            require(range_protect(mapped->start, mapped->end, range->protection), "protection", range);
            mapped->protection = range->protection;
            position++;
        } else {
            require(kernel_call(SYS_munmap, (long)mapped->start, (long)(mapped->end - mapped->start), 0, 0, 0, 0),
                    "unmapping", range);
            range_remove(position);
        }
    }
    ranges_merge(range->start, range->end);
    __atomic_store_n(&mirror.generation, mirror.generation + 1, __ATOMIC_RELEASE);
    lock_release(&mirror.lock);
}

bool mirror_allows(uint64_t address, uint32_t protection)
{
    lock_acquire(&mirror.lock);
    size_t position = range_find(address);
    bool allows = position < mirror.count && mirror.ranges[position].start <= address &&
                  (mirror.ranges[position].protection & protection) == protection;
    lock_release(&mirror.lock);
    return allows;
}

uint64_t mirror_generation(void)
{
    return __atomic_load_n(&mirror.generation, __ATOMIC_ACQUIRE);
}
