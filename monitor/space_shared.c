/*
 * The program's System V shared memory segments and nonlinear mappings: always pinned to home.
 * Not for creating and controlling segments: shmget and shmctl are the kernel's.
 */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "monitor/space_private.h"

#define SHM_PLACES_MAX 2 /* with page alignment, then as huge pages ask for */

static long kernel_shmat(int id, uint64_t address, int flags)
{
    return kernel_call(SYS_shmat, id, (long)address, flags, 0, 0, 0);
}

/* Attaches at exactly `start`, which is free or to be replaced, and records it. */
static long attach(int id, uint64_t start, uint64_t bytes, int flags)
{
    if (start < SPAN_ZONE_START || bytes > SPAN_ZONE_END || start > SPAN_ZONE_END - bytes)
        return -EINVAL;
    if (flags & SHM_REMAP)
        space_forget(start, start + bytes, false);
    long result = kernel_shmat(id, start, flags);
    if (result < 0) {
        if (flags & SHM_REMAP)
            space_resync(start, start + bytes);
        return result;
    }
    uint32_t protection = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
    struct space_entry entry = {
        .mapping =
            {
                .start = start,
                .end = start + bytes,
                .protection = protection,
                .flags = MAP_SHARED,
                .kind = SPACE_PINNED,
                .object = start,
                .inode = (uint64_t)(unsigned)id, /* as /proc/PID/maps shows it */
            },
        .origin = ++space.origins,
        .system_v = true,
    };
    space_record(&entry);
    return (long)start;
}

static long attach_anywhere(int id, uint64_t bytes, int flags)
{
    uint64_t align = PAGE_BYTES;
    long result = -ENOMEM;
    for (int tries = 0; tries < SHM_PLACES_MAX; tries++) {
        uint64_t rounded = (bytes + align - 1) & ~(align - 1);
        long start = space_choose(0, rounded, align, 0, 0);
        if (start < 0)
            return start;
        result = attach(id, (uint64_t)start, rounded, flags);
        if (result != -EINVAL)
            break;
        align = SPACE_HUGE_BYTES;
    }
    return result;
}

long space_shmat(int id, uint64_t address, int flags)
{
    struct shmid_ds status;
    bool round = flags & SHM_RND;
    if ((address == 0 && (flags & SHM_REMAP)) || (!round && !page_aligned(address)))
        return -EINVAL;
    long result = kernel_call(SYS_shmctl, id, IPC_STAT, (long)&status, 0, 0, 0);
    if (result < 0)
        return result; /* attaching needs the same permission */
    uint64_t bytes = page_up(status.shm_segsz);
    uint64_t start = page_down(address);
    if (start == 0 && (flags & SHM_REMAP))
        return -EINVAL;
    result = space_enter();
    if (result < 0)
        return result;
    result = start ? attach(id, start, bytes, flags) : attach_anywhere(id, bytes, flags);
    space_leave();
    return result;
}

long space_shmdt(uint64_t address)
{
    long result = space_enter();
    if (result < 0)
        return result;
    result = kernel_call(SYS_shmdt, (long)address, 0, 0, 0, 0, 0);
    if (result == 0) {
        const struct space_node *node = space_tree_from(address);
        while (node) {
            uint64_t start = node->entry.mapping.start, end = node->entry.mapping.end;
            /* What is left of this attachment, wherever holes have been made in it. */
            if (node->entry.system_v && node->entry.mapping.object == address)
                space_erase(start, end);
            node = space_tree_from(end);
        }
    }
    space_leave();
    return result;
}

static void change_offset(struct space_entry *entry, const void *argument)
{
    const struct space_mapping *first = argument;
    entry->mapping.offset = first->offset + (entry->mapping.start - first->start);
    entry->origin = space.origins;
}

long space_remap_file_pages(uint64_t address, size_t length, int protection, size_t page_offset, int flags)
{
    uint64_t start = page_down(address), bytes = page_down(length);
    if (bytes == 0 || start >= SPAN_ZONE_END || bytes > SPAN_ZONE_END - start)
        return -EINVAL;
    long result = space_enter();
    if (result < 0)
        return result;
    /* The kernel refuses what is not shared, and shared memory no peer knows. */
    result = kernel_call(SYS_remap_file_pages, (long)address, (long)length, protection, (long)page_offset, flags, 0);
    if (result == 0) {
        struct space_mapping first = {.start = start, .offset = page_offset << PAGE_SHIFT};
        space.origins++;
        space_change(start, start + bytes, change_offset, &first);
    }
    space_leave();
    return result;
}
