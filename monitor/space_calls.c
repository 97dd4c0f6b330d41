/*
 * The program's munmap, brk and madvise.
 * Not for mmap, mprotect and mremap, which have files of their own.
 */
#include <errno.h>
#include <sys/resource.h>

#include "monitor/fatal.h"
#include "monitor/space_private.h"

/* Missing from older headers. */
#define ADVICE_DONTNEED_LOCKED 24
#define ADVICE_GUARD_INSTALL   102
#define ADVICE_GUARD_REMOVE    103

long space_munmap(uint64_t address, size_t length)
{
    uint64_t bytes = page_up(length);
    if (!page_aligned(address) || length == 0 || bytes == 0 || address > SPAN_ZONE_END ||
        bytes > SPAN_ZONE_END - address)
        return -EINVAL;
    long result = space_enter();
    if (result < 0)
        return result;
    space_forget(address, address + bytes, false);
    result = kernel_munmap(address, bytes);
    if (result == 0)
        space_erase(address, address + bytes);
    space_leave();
    return result;
}

/* ---- brk ------------------------------------------------------------------------------ */

void space_brk_start(uint64_t start)
{
    SPAN_ASSERT(page_aligned(start) && start < SPAN_ZONE_END);
    lock_acquire(&space.lock);
    space.brk_start = space.brk = start;
    lock_release(&space.lock);
}

uint64_t space_brk_first(void)
{
    return space.brk_start;
}

uint64_t space_brk_now(void)
{
    lock_acquire(&space.lock);
    uint64_t now = space.brk;
    lock_release(&space.lock);
    return now;
}

static bool brk_grow(uint64_t old_end, uint64_t new_end)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) == 0 && new_end - space.brk_start > limit.rlim_cur)
        return false;
    /* The kernel keeps a page free behind the heap. */
    if (!space_fits(old_end, new_end - old_end + PAGE_BYTES, SPAN_ZONE_END))
        return false;
    return space_map_memory(old_end, new_end, PROT_READ | PROT_WRITE, SPACE_MEMORY) == 0;
}

long space_brk(uint64_t address)
{
    if (space_enter() != 0)
        return (long)space.brk;
    uint64_t old_end = page_up(space.brk), new_end = page_up(address);
    if (address < space.brk_start || new_end < address || new_end >= SPAN_ZONE_END)
        goto done;
    if (new_end > old_end && !brk_grow(old_end, new_end))
        goto done;
    if (new_end < old_end) {
        space_forget(new_end, old_end, false);
        if (kernel_munmap(new_end, old_end - new_end) < 0)
            goto done;
        space_erase(new_end, old_end);
    }
    space.brk = address;
done:;
    long now = (long)space.brk;
    space_leave();
    return now;
}

/* ---- madvise -------------------------------------------------------------------------- */

static long kernel_madvise(uint64_t address, uint64_t bytes, int advice)
{
    return kernel_call(SYS_madvise, (long)address, (long)bytes, advice, 0, 0, 0);
}

/* One entry, or a part of it, loses its contents. */
static long discard_part(const struct space_mapping *mapping, uint64_t start, uint64_t end, int advice)
{
    if (mapping->kind == SPACE_MEMORY && mapping->inode) {
        uint64_t source =
            space_view_find(mapping->device, mapping->inode, mapping->offset + (start - mapping->start), end - start);
        if (advice == MADV_FREE)
            return -EINVAL;
        if (source == 0) /* the file's contents cannot come back: see space_copy.c */
            return 0;
        space_forget(start, end, false);
        long result = space_copy_again(start, end, source, mapping->protection);
        if (result == 0 && space.distributed)
            space_register(start, end);
        return result;
    }
    space_forget(start, end, false);
    /* MADV_FREE allows the contents to go at once, and a page that goes later would be missed by
     * the pager. */
    if (advice == MADV_FREE && mapping->kind == SPACE_MEMORY && space.distributed)
        advice = MADV_DONTNEED;
    return kernel_madvise(start, end - start, advice);
}

static long discard_range(uint64_t start, uint64_t end, int advice)
{
    bool holes = false;
    for (uint64_t at = start; at < end;) {
        const struct space_node *node = space_first(at, end);
        if (node == NULL || node->entry.mapping.start > at)
            holes = true;
        if (node == NULL)
            break;
        struct space_mapping mapping = node->entry.mapping;
        uint64_t from = mapping.start > at ? mapping.start : at;
        at = mapping.end < end ? mapping.end : end;
        long result = space_tree_reserve(8);
        if (result == 0)
            result = discard_part(&mapping, from, at, advice);
        if (result < 0)
            return result;
    }
    return holes ? -ENOMEM : 0;
}

static void change_not_forked(struct space_entry *entry, const void *advice)
{
    entry->not_forked = *(const int *)advice == MADV_DONTFORK;
}

static long advise_fork(uint64_t start, uint64_t end, int advice)
{
    long result = space_enter();
    if (result < 0)
        return result;
    result = kernel_madvise(start, end - start, advice);
    if (result == 0 || result == -ENOMEM) /* holes do not matter */
        space_change(start, end, change_not_forked, &advice);
    space_leave();
    return result;
}

/* [address, address + bytes) is in the zone. */
static long advise(uint64_t address, uint64_t bytes, int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case ADVICE_DONTNEED_LOCKED:
    case MADV_FREE:
        if (space.shared) {
            long result = space_enter();
            if (result < 0)
                return result;
            result = discard_range(address, address + bytes, advice);
            space_leave();
            return result;
        }
        break;
    case MADV_HUGEPAGE:
        /* Registered memory has no huge pages; the kernel still checks the range. */
        if (space.distributed)
            advice = MADV_NOHUGEPAGE;
        break;
    case MADV_DONTFORK:
    case MADV_DOFORK:
        return advise_fork(address, address + bytes, advice);
    case ADVICE_GUARD_INSTALL:
    case ADVICE_GUARD_REMOVE:
        /* Guards are invisible to peers; without them programs fall back to PROT_NONE. */
        if (space.shared)
            return -EINVAL;
        break;
    default:
        break;
    }
    return kernel_madvise(address, bytes, advice);
}

long space_madvise(uint64_t address, size_t length, int advice)
{
    uint64_t bytes = page_up(length);
    if (!page_aligned(address) || bytes == 0 || address + bytes < address)
        return kernel_madvise(address, length, advice);
    if (address < SPAN_ZONE_END && bytes <= SPAN_ZONE_END - address)
        return advise(address, bytes, advice);
    long result = kernel_madvise(address, 0, advice); /* is it an advice at all? */
    if (result < 0)
        return result;
    if (address >= SPAN_ZONE_END)
        return -ENOMEM;
    result = advise(address, SPAN_ZONE_END - address, advice);
    return result < 0 ? result : -ENOMEM;
}
