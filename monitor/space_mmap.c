/*
 * The program's mmap, and memory of ours in the span zone.
 * Not for what becomes of mappings later (space_calls.c, space_protect.c, space_mremap.c).
 *
 * A call checks what it must know itself, tells the peers, makes the kernel's call at exactly the
 * addresses chosen, and records the result. Arguments that the kernel is certain to refuse are
 * passed to it unchanged, for its error.
 *
 * At home memory may be touched between being mapped and being registered: a page that no peer has
 * asked for is home's whether the pager has seen it or not, and the lock keeps peers from asking.
 */
#include <errno.h>
#include <sys/sysmacros.h>

#include "monitor/space_private.h"

#define MAP_TYPE_MASK 0x0f
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#define MAP_HUGE_BITS 0x3f
#define PLACES_MAX    64 /* holes that turn out to be taken by something the map does not know */

struct request {
    uint64_t address, bytes, align;
    int protection, flags, fd;
    off_t offset;
    bool of_file;
    struct stat status;
    struct space_copy copy; /* copy.memory is 0: there is none */
};

/* The kernel refuses these whatever is mapped, so it can be asked. */
static bool request_is_refused(uint64_t address, size_t length, int flags, off_t offset)
{
    if (length == 0 || page_up(length) == 0 || !page_aligned((uint64_t)offset))
        return true;
    return (flags & MAP_FIXED) && !page_aligned(address);
}

/* 0, or the error for a file that cannot be mapped. */
static long request_look_at_file(struct request *request)
{
    if (request->flags & MAP_ANONYMOUS)
        return 0;
    long result = kernel_call(SYS_fstat, request->fd, (long)&request->status, 0, 0, 0, 0);
    if (result < 0)
        return result;
    const struct stat *status = &request->status;
    bool zero_device = S_ISCHR(status->st_mode) && status->st_rdev == makedev(1, 5);
    request->of_file = !(zero_device && (request->flags & MAP_TYPE_MASK) == MAP_PRIVATE);
    if (!request->of_file) {
        /* Anonymous to the kernel as well, except that userfaultfd sees a file without length and fills nothing in. */
        request->flags |= MAP_ANONYMOUS;
        request->fd = -1;
        request->offset = 0;
    }
    return 0;
}

static enum space_kind request_kind(const struct request *request)
{
    if ((request->flags & MAP_TYPE_MASK) != MAP_PRIVATE || (request->flags & MAP_HUGETLB))
        return SPACE_PINNED;
    if (!request->of_file)
        return SPACE_MEMORY;
    if (request->copy.memory)
        return SPACE_MEMORY;
    if (space.shared && ((request->protection & PROT_WRITE) || !S_ISREG(request->status.st_mode)))
        return SPACE_PINNED;
    return SPACE_FILE;
}

/* Bytes that the kernel will map, and the alignment it asks for. */
static void request_measure(struct request *request, size_t length)
{
    request->bytes = page_up(length);
    request->align = PAGE_BYTES;
    uint64_t huge = request->of_file ? space_file_huge_bytes(request->fd, &request->status) : 0;
    if ((request->flags & MAP_ANONYMOUS) && (request->flags & MAP_HUGETLB)) {
        unsigned shift = (unsigned)request->flags >> MAP_HUGE_SHIFT & MAP_HUGE_BITS;
        huge = shift ? 1ul << (shift < 40 ? shift : 40) : SPACE_HUGE_BYTES;
    }
    if (huge > PAGE_BYTES) {
        request->align = huge;
        request->bytes = (length + huge - 1) & ~(huge - 1);
    }
}

/* Start of the first mapping of the load that this mapping belongs to: loaders map the whole image,
 * then parts over it. */
static uint64_t request_object(const struct request *request, uint64_t start)
{
    const struct stat *status = &request->status;
    uint64_t below = start;
    if (!(request->flags & MAP_FIXED))
        return start;
    const struct space_node *node = space_first(start, start + request->bytes);
    if (node == NULL || node->entry.mapping.start > start)
        node = space_tree_before(start);
    for (int steps = 0; node && steps < 8; steps++) {
        const struct space_mapping *mapping = &node->entry.mapping;
        if (mapping->end < below && below - mapping->end > SPACE_HUGE_BYTES)
            break;
        if (mapping->object && mapping->device == status->st_dev && mapping->inode == status->st_ino) {
            bool inside = mapping->start <= start && start < mapping->end;
            return inside || mapping->offset <= (uint64_t)request->offset ? mapping->object : start;
        }
        below = mapping->start;
        node = space_tree_before(below);
    }
    return start;
}

/* Puts what has been mapped at `start` into the map and under the pager. */
static void request_record(const struct request *request, uint64_t start)
{
    const int unrecorded =
        MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE | MAP_NONBLOCK | MAP_32BIT | MAP_DENYWRITE | MAP_EXECUTABLE;
    struct space_entry entry = {
        .mapping =
            {
                .start = start,
                .end = start + request->bytes,
                .protection = (uint32_t)request->protection & PROT_MASK,
                .flags = (uint32_t)(request->flags & ~unrecorded),
                .kind = (uint8_t)request_kind(request),
            },
    };
    if (request->flags & MAP_GROWSDOWN)
        space.growing = 1;
    if (request->of_file) {
        entry.mapping.object = request_object(request, start);
        entry.mapping.offset = (uint64_t)request->offset;
        entry.mapping.device = request->status.st_dev;
        entry.mapping.inode = request->status.st_ino;
    }
    if (request->of_file || entry.mapping.kind == SPACE_PINNED)
        entry.origin = ++space.origins;
    space_record(&entry);
    if (request->copy.memory && request->copy.memory < request->bytes)
        space_pin(start + request->copy.memory, start + request->bytes);
    if (entry.mapping.kind == SPACE_MEMORY)
        space_register(start, start + (request->copy.memory ? request->copy.memory : request->bytes));
}

/* Makes the mapping at `start`, which is free, or not with MAP_FIXED. The start or a negative
 * errno. */
static long request_map(struct request *request, uint64_t start, bool replace)
{
    int place = replace ? MAP_FIXED : MAP_FIXED | MAP_FIXED_NOREPLACE;
    int flags = (request->flags & ~(MAP_32BIT | MAP_FIXED | MAP_FIXED_NOREPLACE)) | place;
    /* MAP_SHARED_VALIDATE refuses MAP_FIXED_NOREPLACE. */
    bool hold = !replace && (request->copy.memory || (flags & MAP_TYPE_MASK) == MAP_SHARED_VALIDATE);
    if (hold) {
        long held =
            kernel_mmap(start, request->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | place, -1, 0);
        if (held < 0)
            return held;
        flags &= ~MAP_FIXED_NOREPLACE;
    }
    long result = request->copy.memory
                      ? space_copy_place(&request->copy, start)
                      : kernel_mmap(start, request->bytes, request->protection, flags, request->fd, request->offset);
    if (result < 0 && hold)
        kernel_munmap(start, request->bytes);
    return result < 0 ? result : (long)start;
}

static long request_at_fixed_address(struct request *request)
{
    uint64_t start = request->address, end = start + request->bytes;
    if (request->bytes > SPAN_ZONE_END || start > SPAN_ZONE_END - request->bytes)
        return -ENOMEM;
    if (start < SPAN_ZONE_START)
        return -EPERM;
    if (request->flags & MAP_FIXED_NOREPLACE) {
        if (!space_is_free(start, end))
            return -EEXIST;
        return request_map(request, start, false);
    }
    if (space_known(start, end)) {
        /* What peers hold is lost before the kernel has its say: ask it elsewhere first. */
        if (request->copy.memory == 0) {
            int flags = request->flags & ~(MAP_FIXED | MAP_POPULATE | MAP_32BIT);
            long probe = kernel_mmap(0, request->bytes, request->protection, flags, request->fd, request->offset);
            if (probe < 0)
                return probe;
            kernel_munmap((uint64_t)probe, request->bytes);
        }
        space_forget(start, end, false);
    }
    long result = request_map(request, start, true);
    if (result < 0)
        space_resync(start, end);
    return result;
}

/* The kernel aligns what could be huge pages; it pays. */
static uint64_t request_preferred_align(const struct request *request)
{
    bool huge = !request->of_file && request->align == PAGE_BYTES && request->bytes >= SPACE_HUGE_BYTES &&
                request->bytes % SPACE_HUGE_BYTES == 0 && (request->flags & MAP_TYPE_MASK) == MAP_PRIVATE;
    return huge ? SPACE_HUGE_BYTES : request->align;
}

/*
 * Files of the kernel's own making (rings of io_uring, perf events) may refuse an address that they have not chosen.
 * With MAP_32BIT they choose one in our zone.
 */
static long request_where_kernel_likes(struct request *request)
{
    long start = space_choose(0, request->bytes, request->align, request->flags, 0);
    if (start < 0)
        return start;
    long result = request_map(request, (uint64_t)start, false);
    if (result != -EINVAL)
        return result;
    result =
        kernel_mmap(0, request->bytes, request->protection, request->flags | MAP_32BIT, request->fd, request->offset);
    if (result < 0)
        return result;
    if (!space_is_free((uint64_t)result, (uint64_t)result + request->bytes)) {
        kernel_munmap((uint64_t)result, request->bytes);
        return -ENOMEM;
    }
    return result;
}

static long request_anywhere(struct request *request)
{
    uint64_t hint = page_down(request->address), skip = 0, step = PAGE_BYTES;
    if (hint && hint < SPAN_ZONE_START)
        hint = SPAN_ZONE_START;
    if (request->bytes > SPAN_ZONE_END)
        return -ENOMEM;
    if (request->of_file && !S_ISREG(request->status.st_mode) && !S_ISCHR(request->status.st_mode))
        return request_where_kernel_likes(request);
    uint64_t align = hint ? request->align : request_preferred_align(request);
    for (int tries = 0; tries < PLACES_MAX; tries++) {
        long start = space_choose(hint, request->bytes, align, request->flags, skip);
        if (start < 0 && align != request->align) {
            align = request->align;
            start = space_choose(hint, request->bytes, align, request->flags, skip);
        }
        if (start < 0)
            return start;
        long result = request_map(request, (uint64_t)start, false);
        if (result != -EEXIST)
            return result;
        if (hint != (uint64_t)start) {
            skip = (uint64_t)start + request->bytes - step;
            step *= 2;
        }
        hint = 0;
    }
    return -ENOMEM;
}

long space_mmap(uint64_t address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (flags & MAP_FIXED_NOREPLACE)
        flags |= MAP_FIXED;
    if (request_is_refused(address, length, flags, offset))
        return kernel_mmap(address, length, protection, flags, fd, offset);
    struct request request = {.address = address, .protection = protection, .flags = flags, .fd = fd, .offset = offset};
    long result = request_look_at_file(&request);
    if (result < 0)
        return result;
    request_measure(&request, length);
    if (space.shared && request.of_file && (protection & PROT_WRITE) && (flags & MAP_TYPE_MASK) == MAP_PRIVATE) {
        result = space_copy_file(request.bytes, protection, flags, fd, offset, &request.status, &request.copy);
        if (result < 0)
            return result;
    }
    result = space_enter();
    if (result == 0) {
        result = flags & MAP_FIXED ? request_at_fixed_address(&request) : request_anywhere(&request);
        if (result >= 0)
            request_record(&request, (uint64_t)result);
        space_leave();
    }
    space_copy_discard(&request.copy);
    return result;
}

long space_map_memory(uint64_t start, uint64_t end, int protection, enum space_kind kind)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    long result = kernel_mmap(start, end - start, protection, flags | MAP_FIXED | MAP_FIXED_NOREPLACE, -1, 0);
    if (result < 0)
        return result;
    struct space_entry entry = {
        .mapping =
            {
                .start = start,
                .end = end,
                .protection = (uint32_t)protection,
                .flags = flags,
                .kind = (uint8_t)kind,
            },
        .origin = kind == SPACE_MEMORY ? 0 : ++space.origins,
    };
    space_record(&entry);
    if (kind == SPACE_MEMORY)
        space_register(start, end);
    return 0;
}

long space_map_near(size_t length, int protection, uint64_t near_start, uint64_t near_end)
{
    const uint64_t reach = (1ul << 31) - (1ul << 20);
    uint64_t bytes = page_up(length), floor = SPAN_ZONE_START, ceiling = space.top;
    if (bytes == 0 || near_start > near_end)
        return -EINVAL;
    long result = space_enter();
    if (result < 0)
        return result;
    if (near_end) {
        floor = near_end > reach + SPAN_ZONE_START ? near_end - reach : SPAN_ZONE_START;
        ceiling = near_start + reach < SPAN_ZONE_END ? near_start + reach : SPAN_ZONE_END;
    }
    /* Below if possible: above a program is its heap, which must be able to grow. */
    uint64_t end = near_end ? space_tree_hole(floor, near_start, bytes) : 0;
    if (end == 0)
        end = space_tree_hole(near_end ? near_end : floor, ceiling, bytes);
    /* Peers fetch what they cannot write and never own it, so that home can write it past its
     * protection. */
    result = end ? space_map_memory(end - bytes, end, protection, protection & PROT_WRITE ? SPACE_MEMORY : SPACE_FILE)
                 : -ENOMEM;
    space_leave();
    return result < 0 ? result : (long)(end - bytes);
}
