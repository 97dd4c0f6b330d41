/* See the header. The kernel checks alignment against our buffer, which has at least what a page gives. */
#include "monitor/direct_read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor/session.h"
#include "syscall/entry.h"

#define PIECE_BYTES  (1024u * 1024u)
#define VECTORS_MAX  1024u  /* UIO_MAXIOV */
#define CURRENT      (~0ul) /* preadv2: at the file's position */
#define SECTOR_BYTES 512u

bool direct_read_is(uint64_t number)
{
    return number == SYS_read || number == SYS_pread64 || number == SYS_readv || number == SYS_preadv ||
           number == SYS_preadv2;
}

static bool goes_past_the_cache(int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) && fstat(fd, &status) == 0 &&
           (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

/* One part into the program's memory: bytes read, fewer at the file's end, or a negative errno. */
static long part_read(int fd, const struct iovec *part, uint64_t *offset, uint64_t flags, char *buffer)
{
    size_t done = 0;
    while (done < part->iov_len) {
        size_t wanted = part->iov_len - done < PIECE_BYTES ? part->iov_len - done : PIECE_BYTES;
        struct iovec piece = {buffer, wanted};
        /* No signal cuts it: a program takes fewer bytes than it asked for as the file's end. */
        long got = syscall(SYS_preadv2, fd, &piece, 1, *offset, 0, flags);
        if (got < 0)
            return done ? (long)done : -errno;
        if (user_copy((char *)part->iov_base + done, buffer, (size_t)got))
            return done ? (long)done : -EFAULT;
        done += (size_t)got;
        if (*offset != CURRENT)
            *offset += (uint64_t)got;
        if ((size_t)got < wanted)
            break;
    }
    return (long)done;
}

/* The parts that the program names; their count, 0 when that is for the kernel to refuse. */
static size_t parts_read(uint64_t number, const uint64_t a[6], struct iovec parts[VECTORS_MAX])
{
    if (number == SYS_read || number == SYS_pread64) {
        parts[0] = (struct iovec){(void *)a[1], a[2]};
        return 1;
    }
    if (a[2] == 0 || a[2] > VECTORS_MAX || user_copy(parts, (const void *)a[1], a[2] * sizeof *parts))
        return 0;
    return a[2];
}

static bool parts_are_aligned(const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (((uint64_t)parts[i].iov_base | parts[i].iov_len) & (SECTOR_BYTES - 1))
            return false; /* the kernel would refuse, or does not use the device */
    return true;
}

long direct_read(uint64_t number, const uint64_t a[6])
{
    struct iovec parts[VECTORS_MAX];
    bool placed = number == SYS_pread64 || number == SYS_preadv || number == SYS_preadv2;
    uint64_t offset = placed ? a[3] : CURRENT, flags = number == SYS_preadv2 ? a[5] : 0;
    if (!session_distributed() || !goes_past_the_cache((int)a[0]) ||
        (offset == CURRENT && placed && number != SYS_preadv2))
        return syscall_interruptible((long)number, a);
    size_t count = parts_read(number, a, parts);
    if (count == 0 || !parts_are_aligned(parts, count))
        return syscall_interruptible((long)number, a);
    char *buffer = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return -ENOMEM;
    long sum = 0, got = 0;
    for (size_t i = 0; i < count; i++) {
        got = part_read((int)a[0], &parts[i], &offset, flags, buffer);
        if (got < 0)
            break;
        sum += got;
        if ((size_t)got < parts[i].iov_len)
            break;
    }
    munmap(buffer, PIECE_BYTES);
    return sum ? sum : got;
}
