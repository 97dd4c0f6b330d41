/*
 * The program's mremap.
 * Not for the moves that turn file mappings into memory (space_copy.c).
 *
 * The kernel never chooses an address: a mapping grows in place, by a call without MREMAP_MAYMOVE,
 * or moves to an address chosen here. A move takes a mapping out of userfaultfd, so contents come
 * home first and the new place is registered.
 */
#include <errno.h>

#include "monitor/fatal.h"
#include "monitor/space_private.h"

#define TASK_BYTES  (1ul << 47) /* refused by the kernel whatever is mapped */
#define FLAGS_KNOWN (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)

struct move {
    uint64_t start, old_bytes, new_bytes, target;
    int flags;
    bool chosen; /* the target is ours, and free */
};

static bool overlaps(const struct move *move)
{
    return move->start < move->target + move->new_bytes && move->target < move->start + move->old_bytes;
}

/* What the kernel checks before it looks at mappings, when the new address matters. */
static long move_check(const struct move *move)
{
    bool fixed = move->flags & MREMAP_FIXED, keeps = move->flags & MREMAP_DONTUNMAP;
    if (!(move->flags & MREMAP_MAYMOVE) || (keeps && move->old_bytes != move->new_bytes))
        return -EINVAL;
    if (!page_aligned(move->target) || move->new_bytes > SPAN_ZONE_END ||
        move->target > SPAN_ZONE_END - move->new_bytes || overlaps(move))
        return -EINVAL;
    return fixed && move->target < SPAN_ZONE_START ? -EPERM : 0;
}

/* The part of the source that has a counterpart at the target. */
static uint64_t source_end(const struct move *move)
{
    return move->start + (move->old_bytes < move->new_bytes ? move->old_bytes : move->new_bytes);
}

static size_t entries_count(uint64_t start, uint64_t end)
{
    size_t count = 0;
    for (const struct space_node *node = space_first(start, end); node;
         node = space_first(node->entry.mapping.end, end))
        count++;
    return count;
}

/* The entry as it is after the move: [from, to) of it, shifted; the last one takes the growth. */
static void entry_record_moved(const struct move *move, struct space_entry entry, uint64_t from, uint64_t to)
{
    uint64_t delta = move->target - move->start; /* modulo 2^64 */
    struct space_mapping *mapping = &entry.mapping;
    if (entry.origin)
        mapping->offset += from - mapping->start;
    if (mapping->object >= move->start && mapping->object < move->start + move->old_bytes)
        mapping->object += delta;
    mapping->start = from + delta;
    mapping->end = to + delta;
    if (to == move->start + move->old_bytes && move->new_bytes > move->old_bytes)
        mapping->end = move->target + move->new_bytes;
    mapping->nodes = 0;
    space_record(&entry);
    if (mapping->kind == SPACE_MEMORY)
        space_register(mapping->start, mapping->end);
}

/*
 * What is at the target goes where something comes; under holes of the source (possible since
 * Linux 6.17) it stays. Until the kernel has agreed contents are kept: what it checks depends on
 * more than the map knows.
 */
static void target_forget(const struct move *move)
{
    uint64_t delta = move->target - move->start, end = source_end(move);
    for (uint64_t at = move->start; at < end;) {
        const struct space_node *node = space_first(at, end);
        if (node == NULL)
            break;
        uint64_t from = node->entry.mapping.start > at ? node->entry.mapping.start : at;
        at = node->entry.mapping.end < end ? node->entry.mapping.end : end;
        space_forget(from + delta, at + delta, true);
    }
    if (move->new_bytes > move->old_bytes)
        space_forget(move->target + move->old_bytes, move->target + move->new_bytes, true);
}

static void move_record(const struct move *move)
{
    uint64_t end = source_end(move);
    for (uint64_t at = move->start; at < end;) {
        const struct space_node *node = space_first(at, end);
        if (node == NULL)
            break;
        const struct space_entry entry = node->entry;
        uint64_t from = entry.mapping.start > at ? entry.mapping.start : at;
        at = entry.mapping.end < end ? entry.mapping.end : end;
        entry_record_moved(move, entry, from, at);
    }
    if (!(move->flags & MREMAP_DONTUNMAP))
        space_erase(move->start, move->start + move->old_bytes);
}

/* The first page of [from, to) that is mapped, or with `mapped` the first that is not. */
static uint64_t border_find(uint64_t from, uint64_t to, bool mapped)
{
    uint64_t low = from >> PAGE_SHIFT, high = to >> PAGE_SHIFT;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        unsigned char there;
        bool hole =
            kernel_call(SYS_mincore, (long)(middle << PAGE_SHIFT), PAGE_BYTES, (long)&there, 0, 0, 0) == -ENOMEM;
        if (hole != mapped)
            low = middle + 1;
        else
            high = middle;
    }
    return low << PAGE_SHIFT;
}

/*
 * Moves the front of [from, to), which is one entry but may be several mappings of the kernel: all
 * of it, or half, and so on until it is inside one. Returns how far it came.
 */
static uint64_t move_piece(const struct move *move, uint64_t from, uint64_t to, long *error)
{
    uint64_t target = from + move->target - move->start, bytes = to - from, moved;
    bool keeps = move->flags & MREMAP_DONTUNMAP;
    for (;; bytes = page_down(bytes / 2)) {
        if (keeps) { /* so that what came can be told from what was there */
            kernel_munmap(target, bytes);
            space_erase(target, target + bytes);
        }
        *error = kernel_mremap(from, bytes, bytes, move->flags, target);
        if (*error >= 0)
            return from + bytes;
        moved = keeps ? from + border_find(target, target + bytes, true) - target : border_find(from, to, false);
        if (moved > from || *error != -EFAULT || bytes == PAGE_BYTES)
            return moved;
    }
}

/*
 * The call for the whole move has failed with `error`, or would. Linux 6.17 moves several mappings
 * at once: what it moved before it failed is recorded. It refuses to do so when they are
 * registered, which the program must not see: they go one by one.
 */
static long move_rest(const struct move *move, long error)
{
    bool keeps = move->flags & MREMAP_DONTUNMAP;
    uint64_t end = source_end(move);
    for (uint64_t at = move->start; at < end;) {
        const struct space_node *node = space_first(at, end);
        if (node == NULL)
            break;
        if (space_tree_reserve(16) != 0)
            return -ENOMEM;
        uint64_t from = node->entry.mapping.start > at ? node->entry.mapping.start : at;
        uint64_t to = node->entry.mapping.end < end ? node->entry.mapping.end : end;
        at = keeps ? from : border_find(from, to, false);
        if (at == from && space.distributed)
            at = move_piece(move, from, to, &error);
        if (at == from)
            return error;
        struct move piece = {from, at - from, at - from, from + move->target - move->start, move->flags, false};
        move_record(&piece);
    }
    return (long)move->target;
}

/* Of memory that is one mapping to the program, and several of the kernel's? */
static bool is_split(const struct move *move)
{
    const struct space_node *node = space_first(move->start, move->start + 1);
    return space.distributed && node != NULL && node->entry.mapping.end >= source_end(move);
}

/*
 * The call for a move that also changes the size has failed, for the kernel changes the size of one mapping only:
 * what grows is in the last one, which goes first, since that is what can fail.
 */
static long move_split(const struct move *move, bool *begun)
{
    struct move rest = *move;
    rest.flags |= MREMAP_FIXED;
    if (move->new_bytes < move->old_bytes) {
        uint64_t new_end = move->start + move->new_bytes, old_end = move->start + move->old_bytes;
        long result = kernel_munmap(new_end, old_end - new_end);
        if (result < 0)
            return result;
        space_erase(new_end, old_end);
        *begun = true;
        rest.old_bytes = move->new_bytes;
    } else {
        long result = -EFAULT;
        uint64_t growth = move->new_bytes - move->old_bytes, bytes = move->old_bytes;
        struct move last;
        for (;; bytes = page_up(bytes / 2)) {
            uint64_t from = move->start + move->old_bytes - bytes;
            last = (struct move){from, bytes, bytes + growth, from + move->target - move->start, rest.flags, false};
            result = kernel_mremap(from, last.old_bytes, last.new_bytes, last.flags, last.target);
            if (result != -EFAULT || bytes == PAGE_BYTES)
                break;
        }
        if (result < 0)
            return result;
        *begun = true;
        move_record(&last);
        rest.old_bytes = move->old_bytes - bytes;
    }
    rest.new_bytes = rest.old_bytes;
    return rest.old_bytes == 0 ? (long)move->target : move_rest(&rest, -EFAULT);
}

static long move_carry_out(const struct move *move)
{
    uint64_t source = move->start, target = move->target, target_end = target + move->new_bytes;
    /* Each entry needs one at the target and may be cut there, by merging the other way round. */
    long result = space_tree_reserve(4 * entries_count(source, source_end(move)) + 16);
    if (result < 0)
        return result;
    space_forget(source, source + move->old_bytes, true);
    bool held = move->chosen && space.growing;
    if (held) {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED | MAP_FIXED_NOREPLACE;
        result = kernel_mmap(target, move->new_bytes, PROT_NONE, flags, -1, 0);
        if (result < 0)
            return -ENOMEM;
    }
    if (!move->chosen)
        target_forget(move);
    bool same = !move->chosen && move->old_bytes == move->new_bytes;
    bool keeps = move->flags & MREMAP_DONTUNMAP;
    if (same && space.distributed && (keeps || entries_count(source, source_end(move)) > 1))
        return move_rest(move, -EFAULT);
    bool split = is_split(move);
    result = kernel_mremap(source, move->old_bytes, move->new_bytes, move->flags | MREMAP_FIXED, target);
    if (result == -EFAULT && split && (move->chosen || !same)) {
        bool begun = false;
        result = move_split(move, &begun);
        if (result >= 0 || begun) /* what has come stays, and so does what was held around it */
            return result;
    }
    if (result < 0 && held)
        kernel_munmap(target, move->new_bytes);
    if (result < 0 && !move->chosen) {
        space_resync(target, target_end);
        if (move->new_bytes < move->old_bytes) /* what is cut off goes before anything is checked */
            space_resync(source + move->new_bytes, source + move->old_bytes);
        if (same && !keeps)
            result = move_rest(move, result);
        return result;
    }
    if (result < 0)
        return result;
    move_record(move);
    return (long)target;
}

/* old_bytes is 0: a second mapping of shared memory. */
static long move_duplicate(struct move *move)
{
    const struct space_entry *entry = &space_first(move->start, move->start + 1)->entry;
    struct space_entry copy = *entry;
    if (entry->mapping.kind != SPACE_PINNED)
        return -EINVAL;
    if (!move->chosen)
        space_forget(move->target, move->target + move->new_bytes, true);
    long result = kernel_mremap(move->start, 0, move->new_bytes, move->flags | MREMAP_FIXED, move->target);
    if (result < 0) {
        space_resync(move->target, move->target + move->new_bytes);
        return result;
    }
    copy.mapping.offset += move->start - copy.mapping.start;
    copy.mapping.start = move->target;
    copy.mapping.end = move->target + move->new_bytes;
    copy.origin = ++space.origins;
    space_record(&copy);
    return (long)move->target;
}

static long move_anywhere(struct move *move, uint64_t hint)
{
    long target = space_choose(hint, move->new_bytes, PAGE_BYTES, 0, 0);
    if (target < 0)
        return target;
    move->target = (uint64_t)target;
    move->chosen = true;
    return move->old_bytes ? move_carry_out(move) : move_duplicate(move);
}

/* ---- without a new address ------------------------------------------------------------ */

static long shrink(const struct move *move)
{
    uint64_t new_end = move->start + move->new_bytes, old_end = move->start + move->old_bytes;
    if (old_end < move->start || old_end > SPAN_ZONE_END)
        return -EINVAL;
    space_forget(new_end, old_end, false);
    long result = kernel_mremap(move->start, move->old_bytes, move->new_bytes, 0, 0);
    if (result >= 0)
        space_erase(new_end, old_end);
    return result;
}

static void record_growth(const struct move *move)
{
    uint64_t old_end = move->start + move->old_bytes, new_end = move->start + move->new_bytes;
    struct space_entry entry = space_first(old_end - 1, old_end)->entry;
    if (entry.origin)
        entry.mapping.offset += old_end - entry.mapping.start;
    entry.mapping.start = old_end;
    entry.mapping.end = new_end;
    entry.mapping.nodes = 0;
    space_record(&entry);
    if (entry.mapping.kind == SPACE_MEMORY)
        space_register(old_end, new_end);
}

static long grow(struct move *move)
{
    uint64_t old_end = move->start + move->old_bytes;
    if (move->old_bytes == 0)
        return move->flags & MREMAP_MAYMOVE ? move_anywhere(move, 0) : -EINVAL;
    if (old_end < move->start || old_end > SPAN_ZONE_END)
        return -EFAULT;
    const struct space_node *node = space_first(old_end - 1, old_end);
    if (node == NULL)
        return -EFAULT;
    /* More of a file that has become memory cannot be had. */
    if (node->entry.mapping.kind == SPACE_MEMORY && node->entry.mapping.inode)
        return -ENOMEM;
    long result = -ENOMEM;
    if (move->new_bytes <= SPAN_ZONE_END - move->start) {
        result = kernel_mremap(move->start, move->old_bytes, move->new_bytes, 0, 0);
        if (result == -EFAULT && is_split(move)) /* the last page is in the last of its mappings */
            result =
                kernel_mremap(old_end - PAGE_BYTES, PAGE_BYTES, move->new_bytes - move->old_bytes + PAGE_BYTES, 0, 0);
    }
    if (result >= 0) {
        record_growth(move);
        return (long)move->start;
    }
    if (result != -ENOMEM || !(move->flags & MREMAP_MAYMOVE))
        return result;
    return move_anywhere(move, 0);
}

long space_mremap(uint64_t address, size_t old_length, size_t new_length, int flags, uint64_t new_address)
{
    struct move move = {
        .start = address,
        .old_bytes = page_up(old_length),
        .new_bytes = page_up(new_length),
        .target = new_address,
        .flags = flags,
    };
    if ((flags & ~FLAGS_KNOWN) || !page_aligned(address) || move.new_bytes == 0 || new_length > TASK_BYTES)
        return kernel_mremap(address, old_length, new_length, flags, new_address);
    bool placed = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
    long result = placed ? move_check(&move) : 0;
    if (result < 0)
        return result;
    if (move.new_bytes > SPAN_ZONE_END)
        return -ENOMEM;
    result = space_enter();
    if (result < 0)
        return result;
    if (address >= SPAN_ZONE_END || space_is_free(address, address + 1))
        result = -EFAULT;
    else if (placed && (address + move.old_bytes < address || address + move.old_bytes > SPAN_ZONE_END))
        result = -EINVAL;
    else if (placed && !(flags & MREMAP_FIXED))
        result = move_anywhere(&move, page_down(new_address));
    else if (placed)
        result = move.old_bytes ? move_carry_out(&move) : move_duplicate(&move);
    else if (move.new_bytes <= move.old_bytes)
        result = shrink(&move);
    else
        result = grow(&move);
    space_leave();
    return result;
}
