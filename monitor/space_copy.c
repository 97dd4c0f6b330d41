/*
 * Private file mappings as anonymous memory with the same contents, which nodes can share.
 * Not for deciding which mappings need that (space_calls.c).
 *
 * Three differences from the kernel's mapping remain. What the file changes to later is not seen
 * (mmap(2) leaves that open for MAP_PRIVATE). MADV_DONTNEED brings the file's contents back where
 * it was mapped writable (space_view.c), and is ignored where only mprotect made it so. mremap
 * cannot make it larger. Pages that lie wholly beyond
 * the end of the file stay a file mapping, pinned to home, so that touching them is SIGBUS and a
 * file that grows shows there.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "monitor/space_private.h"

#define CHUNK_BYTES (1ul << 20)

/* Fills [address, address + bytes) from the file; a file that became shorter leaves zeros. False:
 * it cannot be read. */
static bool file_read(int fd, uint64_t address, uint64_t bytes, off_t offset)
{
    for (uint64_t done = 0; done < bytes;) {
        uint64_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        long got = kernel_call(SYS_pread64, fd, (long)(address + done), (long)chunk, offset + (long)done, 0, 0);
        if (got == -EINTR)
            continue;
        if (got < 0)
            return false;
        if (got == 0)
            break;
        done += (uint64_t)got;
    }
    return true;
}

uint64_t space_file_huge_bytes(int fd, const struct stat *status)
{
    struct statfs system;
    if (!S_ISREG(status->st_mode) || status->st_blksize < (blksize_t)SPACE_HUGE_BYTES)
        return 0;
    if (fstatfs(fd, &system) != 0 || system.f_type != HUGETLBFS_MAGIC)
        return 0;
    return (uint64_t)status->st_blksize;
}

long space_copy_file(uint64_t bytes, int protection, int flags, int fd, off_t offset, const struct stat *status,
                     struct space_copy *copy)
{
    *copy = (struct space_copy){.bytes = bytes};
    if (!S_ISREG(status->st_mode) || space_file_huge_bytes(fd, status) || status->st_size <= offset)
        return 0;
    uint64_t contents = (uint64_t)(status->st_size - offset);
    if (contents > bytes)
        contents = bytes;
    if (contents > SPACE_COPY_BYTES_MAX)
        return 0;
    /* The kernel's own answer first: its errors, and what lies beyond the end of the file. */
    int kept = flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE | MAP_32BIT);
    long start = kernel_mmap(0, bytes, protection, kept, fd, offset);
    if (start < 0)
        return start;
    copy->start = (uint64_t)start;
    copy->memory = page_up(contents);
    int anonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (flags & (MAP_NORESERVE | MAP_LOCKED));
    long result = kernel_mmap(copy->start, copy->memory, PROT_READ | PROT_WRITE, anonymous, -1, 0);
    bool filled = result >= 0 && file_read(fd, copy->start, contents, offset);
    if (filled && (protection & PROT_MASK) != (PROT_READ | PROT_WRITE))
        result = kernel_mprotect(copy->start, copy->memory, protection & PROT_MASK);
    if (filled && result >= 0) {
        space_view_add(status, (uint64_t)offset, copy->memory, fd);
        return 0;
    }
    space_copy_discard(copy);
    copy->memory = 0;
    return result < 0 ? result : 0;
}

void space_copy_discard(struct space_copy *copy)
{
    if (copy->memory && copy->bytes)
        kernel_munmap(copy->start, copy->bytes);
    copy->bytes = 0;
}

long space_copy_place(struct space_copy *copy, uint64_t target)
{
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    uint64_t tail_start = copy->start + copy->memory, tail = copy->bytes - copy->memory;
    long result = kernel_mremap(copy->start, copy->memory, copy->memory, flags, target);
    if (result < 0) {
        space_copy_discard(copy);
        return result;
    }
    copy->bytes = 0;
    if (tail)
        result = kernel_mremap(tail_start, tail, tail, flags, target + copy->memory);
    if (result < 0)
        kernel_munmap(tail_start, tail);
    return result < 0 ? result : 0;
}

/* Bytes that could be copied, from the front, whole pages. */
static uint64_t mapping_read(uint64_t to, uint64_t from, uint64_t bytes)
{
    uint64_t done = 0;
    while (done < bytes) {
        uint64_t chunk = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
        struct iovec local = {.iov_base = (void *)(to + done), .iov_len = chunk};
        struct iovec remote = {.iov_base = (void *)(from + done), .iov_len = chunk};
        ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (got <= 0)
            break;
        done += page_down((uint64_t)got);
        if ((uint64_t)got < chunk)
            break;
    }
    return done;
}

long space_copy_mapping(uint64_t start, uint64_t end, uint32_t old_protection, uint32_t protection)
{
    uint64_t bytes = end - start;
    if (bytes > SPACE_COPY_BYTES_MAX)
        return 0;
    long memory = kernel_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0)
        return memory;
    if (!(old_protection & PROT_READ)) {
        long result = kernel_mprotect(start, bytes, (int)(old_protection | PROT_READ));
        if (result < 0) {
            kernel_munmap((uint64_t)memory, bytes);
            return result;
        }
    }
    uint64_t copied = mapping_read((uint64_t)memory, start, bytes);
    long result = 0;
    if (copied && protection != (PROT_READ | PROT_WRITE))
        result = kernel_mprotect((uint64_t)memory, copied, (int)protection);
    if (copied && result >= 0)
        result = kernel_mremap((uint64_t)memory, copied, copied, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    uint64_t left = result < 0 || copied == 0 ? 0 : copied;
    if (left < bytes)
        kernel_munmap((uint64_t)memory + left, bytes - left);
    if (!(old_protection & PROT_READ) && left < bytes)
        kernel_mprotect(start + left, bytes - left, (int)old_protection);
    return result < 0 ? result : (long)left;
}

long space_copy_again(uint64_t start, uint64_t end, uint64_t source, uint32_t protection)
{
    uint64_t bytes = end - start;
    long memory = kernel_mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0)
        return memory;
    long result = mapping_read((uint64_t)memory, source, bytes) == bytes ? 0 : -EIO;
    if (result == 0 && protection != (PROT_READ | PROT_WRITE))
        result = kernel_mprotect((uint64_t)memory, bytes, (int)protection);
    if (result >= 0)
        result = kernel_mremap((uint64_t)memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    if (result < 0)
        kernel_munmap((uint64_t)memory, bytes);
    return result < 0 ? result : 0;
}
