/*
 * Pages of this process by system calls: userfaultfd, /proc/self/mem, madvise; and whether they may
 * be used. Not for when a page is given or taken: runtime/coherence.c decides, the pager's loop
 * calls.
 *
 * Nothing here waits for a missing page. Reads go through /proc/self/mem: its page lookup may not
 * drop the map's lock, so the kernel answers a hole under userfaultfd with EIO where
 * process_vm_readv would sleep, waiting for our own loop. It also ignores PROT_NONE, and costs less
 * than process_vm_readv for one page.
 *
 * Sources: ioctl_userfaultfd(2), userfaultfd(2), proc(5).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "runtime/descriptor.h"
#include "runtime/pager_private.h"
#include "runtime/userfault.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PIDFD_SELF (-10000) /* Linux 6.14, linux/pidfd.h: this thread, which stands for its memory */

#define KERNEL_MAJOR 5
#define KERNEL_MINOR 18 /* MADV_DONTNEED_LOCKED; write protection is older */

/* Older than the kernel that is asked for. */
#define FEATURES (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID)

#define RETRIES_MAX 1000000 /* each yields: the map is being changed by another thread */

static const uint8_t zero_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static int device = -1; /* kept from the start on; its permission is asked for only when it is opened */

void userfault_device_keep(int fd_floor)
{
    device = descriptor_raise(open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd_floor);
}

int userfault_device(void)
{
    return device;
}

void userfault_device_is(int fd)
{
    device = fd;
}

/* The system call where it is allowed, else the device, which has file permissions. */
static int userfault_descriptor(void)
{
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        return (int)fd;
    int error = -errno;
    int opened = device >= 0 ? device : open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (opened < 0)
        return error;
    fd = ioctl(opened, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
    if (opened != device)
        close(opened);
    return fd >= 0 ? (int)fd : error;
}

/* A process that has changed its identity may not open its memory unless it says that it may be looked at. */
static int own_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 || errno != EACCES)
        return fd;
    int dumpable = prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_DUMPABLE, 1);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = errno;
    prctl(PR_SET_DUMPABLE, dumpable);
    errno = error;
    return fd;
}

static int userfault_kernel_check(char why[WIRE_MESSAGE_BYTES])
{
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
        return 0; /* what is missing will show below */
    if (major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR))
        return 0;
    snprintf(why, WIRE_MESSAGE_BYTES, "kernel %.32s is too old (%d.%d or later is needed)", name.release, KERNEL_MAJOR,
             KERNEL_MINOR);
    return -ENOSYS;
}

/* Some kernels are built or started so that /proc/self/mem respects protection: then PROT_NONE
 * pages cannot move. */
static int userfault_memory_check(int memory, char why[WIRE_MESSAGE_BYTES])
{
    uint64_t *probe = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) {
        snprintf(why, WIRE_MESSAGE_BYTES, "no memory for a probe");
        return -ENOMEM;
    }
    uint64_t seen = 0;
    int error = 0;
    *probe = WIRE_MAGIC;
    if (mprotect(probe, PAGE_BYTES, PROT_NONE) != 0 ||
        pread(memory, &seen, sizeof seen, (off_t)(uintptr_t)probe) != sizeof seen || seen != WIRE_MAGIC) {
        snprintf(why, WIRE_MESSAGE_BYTES,
                 "/proc/self/mem cannot read protected pages (start the kernel without "
                 "proc_mem.force_override=never)");
        error = -EACCES;
    }
    munmap(probe, PAGE_BYTES);
    return error;
}

int userfault_open(struct userfault *userfault, int fd_floor, char why[WIRE_MESSAGE_BYTES])
{
    *userfault = (struct userfault){.fd = -1, .memory = -1, .map = -1};
    int error = userfault_kernel_check(why);
    if (error != 0)
        return error;
    int fd = descriptor_raise(userfault_descriptor(), fd_floor);
    if (fd < 0) {
        if (fd == -EPERM || fd == -EACCES)
            snprintf(why, WIRE_MESSAGE_BYTES,
                     "userfaultfd is not permitted (set sysctl vm.unprivileged_userfaultfd=1, give "
                     "access to "
                     "/dev/userfaultfd, or CAP_SYS_PTRACE)");
        else
            snprintf(why, WIRE_MESSAGE_BYTES, "userfaultfd: %s (%s)", strerror(-fd),
                     fd == -EMFILE ? "raise ulimit -n" : "the kernel needs CONFIG_USERFAULTFD");
        return fd;
    }
    userfault->fd = fd;
    struct uffdio_api api = {.api = UFFD_API, .features = FEATURES | userfault_take_feature()};
    bool takes = ioctl(fd, UFFDIO_API, &api) == 0;
    api = (struct uffdio_api){.api = UFFD_API, .features = FEATURES};
    if (!takes && ioctl(fd, UFFDIO_API, &api) != 0) {
        error = -errno;
        snprintf(why, WIRE_MESSAGE_BYTES,
                 "userfaultfd has no write protection (the kernel needs "
                 "CONFIG_HAVE_ARCH_USERFAULTFD_WP)");
        goto failed;
    }
    userfault->map = descriptor_raise(own_open("/proc/self/pagemap"), fd_floor); /* may be missing */
    userfault->memory = descriptor_raise(own_open("/proc/self/mem"), fd_floor);
    if (userfault->memory < 0) {
        error = -errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "/proc/self/mem: %s (%s)", strerror(-error),
                 error == -EMFILE || error == -ENFILE ? "raise ulimit -n" : "is /proc mounted?");
        goto failed;
    }
    error = userfault_memory_check(userfault->memory, why);
    if (error == 0) {
        if (takes)
            userfault_take_open(userfault);
        return 0;
    }
failed:
    userfault_close(userfault);
    return error;
}

void userfault_close(struct userfault *userfault)
{
    userfault_take_close(userfault);
    descriptor_close(userfault->fd);
    descriptor_close(userfault->memory);
    descriptor_close(userfault->map);
    userfault->fd = userfault->memory = userfault->map = -1;
}

int userfault_register(const struct userfault *userfault, uint64_t start, uint64_t bytes, bool write_protect)
{
    if (start % PAGE_BYTES != 0 || bytes % PAGE_BYTES != 0 || bytes == 0)
        return -EINVAL;
    /* Operations are on single pages: a huge page would be split at the first one, and be bought
     * for nothing. */
    madvise((void *)start, bytes, MADV_NOHUGEPAGE);
    struct uffdio_register request = {
        .range = {.start = start, .len = bytes},
        .mode = UFFDIO_REGISTER_MODE_MISSING | (write_protect ? UFFDIO_REGISTER_MODE_WP : 0),
    };
    return ioctl(userfault->fd, UFFDIO_REGISTER, &request) == 0 ? 0 : -errno;
}

int userfault_events(const struct userfault *userfault, struct userfault_event events[USERFAULT_EVENTS_MAX])
{
    struct uffd_msg messages[USERFAULT_EVENTS_MAX];
    ssize_t bytes = read(userfault->fd, messages, sizeof messages);
    if (bytes < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
        pager_fatal("userfaultfd: %s", strerror(errno));
    }
    size_t count = (size_t)bytes / sizeof messages[0];
    int found = 0;
    for (size_t i = 0; i < count; i++) {
        if (messages[i].event != UFFD_EVENT_PAGEFAULT)
            continue; /* no other was asked for */
        events[found].page = messages[i].arg.pagefault.address >> PAGE_SHIFT;
        events[found].thread = messages[i].arg.pagefault.feat.ptid;
        uint64_t flags = messages[i].arg.pagefault.flags;
        events[found].write = (flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP)) != 0;
        events[found].missing = (flags & UFFD_PAGEFAULT_FLAG_WP) == 0;
        found++;
    }
    return found;
}

/* What the errors of an operation mean: 0 go on, 1 try again, negative errno for the caller. */
static int userfault_result(const char *operation, uint64_t page, int error, unsigned tries)
{
    switch (error) {
    case 0:
        return 0;
    case EEXIST:
        return -EEXIST;
    case ENOENT: /* no mapping, or one that is not registered */
    case EINVAL: /* registered without write protection, or a hole in the range */
    case ESRCH:  /* the process is ending */
        return -ENOENT;
    case EAGAIN:
    case EINTR:
    case EBUSY:
        if (tries < RETRIES_MAX) {
            sched_yield();
            return 1;
        }
        break;
    }
    pager_fatal("%s of page 0x%lx: %s", operation, page << PAGE_SHIFT, strerror(error));
}

static int userfault_write_protect(const struct userfault *userfault, uint64_t page, uint64_t count, uint64_t mode)
{
    for (unsigned tries = 0;; tries++) {
        struct uffdio_writeprotect request = {
            .range = {.start = page << PAGE_SHIFT, .len = count << PAGE_SHIFT},
            .mode = mode,
        };
        int error = ioctl(userfault->fd, UFFDIO_WRITEPROTECT, &request) == 0 ? 0 : errno;
        int result = userfault_result("write protection", page, error, tries);
        if (result <= 0)
            return result;
    }
}

int userfault_protect(const struct userfault *userfault, uint64_t page)
{
    return userfault_write_protect(userfault, page, 1, UFFDIO_WRITEPROTECT_MODE_WP);
}

int userfault_protect_run(const struct userfault *userfault, uint64_t page, uint64_t count)
{
    return userfault_write_protect(userfault, page, count, UFFDIO_WRITEPROTECT_MODE_WP);
}

/* One entry of 64 bits for each page, in the kernel's Documentation/admin-guide/mm/pagemap.rst. */
#define PAGEMAP_PROTECTED (1ull << 57) /* by userfaultfd */
#define PAGEMAP_PRESENT   (1ull << 63)

unsigned userfault_protections(const struct userfault *userfault, uint64_t page, enum userfault_protection *are,
                               unsigned count)
{
    uint64_t entries[USERFAULT_PROTECTIONS_MAX];
    PAGER_ASSERT(count <= USERFAULT_PROTECTIONS_MAX);
    ssize_t bytes = userfault->map < 0
                        ? 0
                        : pread(userfault->map, entries, count * sizeof entries[0], (off_t)(page * sizeof entries[0]));
    unsigned known = bytes > 0 ? (unsigned)((size_t)bytes / sizeof entries[0]) : 0;
    for (unsigned i = 0; i < known; i++)
        are[i] = !(entries[i] & PAGEMAP_PRESENT)  ? USERFAULT_ABSENT
                 : entries[i] & PAGEMAP_PROTECTED ? USERFAULT_PROTECTED
                                                  : USERFAULT_WRITABLE;
    return known;
}

int userfault_unprotect(const struct userfault *userfault, uint64_t page)
{
    return userfault_write_protect(userfault, page, 1, 0);
}

int userfault_unprotect_run(const struct userfault *userfault, uint64_t page, uint64_t count)
{
    return userfault_write_protect(userfault, page, count, 0);
}

/* Bytes that could be copied before the result, which is that of the first page that could not. */
static int userfault_copy(const struct userfault *userfault, uint64_t page, const void *data, uint64_t bytes,
                          uint64_t mode, uint64_t *copied)
{
    *copied = 0;
    for (unsigned tries = 0;; tries++) {
        struct uffdio_copy request = {
            .dst = (page << PAGE_SHIFT) + *copied,
            .src = (uintptr_t)data + *copied,
            .len = bytes - *copied,
            .mode = mode,
        };
        int error = ioctl(userfault->fd, UFFDIO_COPY, &request) == 0 ? 0 : errno;
        if (request.copy > 0)
            *copied += (uint64_t)request.copy;
        if (*copied == bytes)
            return 0;
        int result = userfault_result("copy", page + (*copied >> PAGE_SHIFT), error == 0 ? EAGAIN : error, tries);
        if (result < 0)
            return result;
    }
}

int userfault_install(const struct userfault *userfault, uint64_t page, const void *data, bool writable)
{
    uint64_t copied;
    /* A zero page is copied as well: UFFDIO_ZEROPAGE cannot protect, and its first write costs a
     * second fault. */
    return userfault_copy(userfault, page, data != NULL ? data : zero_page, PAGE_BYTES,
                          writable ? 0 : UFFDIO_COPY_MODE_WP, &copied);
}

uint32_t userfault_install_pages(const struct userfault *userfault, uint64_t page, const void *data, uint32_t count,
                                 bool writable)
{
    uint64_t copied;
    userfault_copy(userfault, page, data, (uint64_t)count * PAGE_BYTES, writable ? 0 : UFFDIO_COPY_MODE_WP, &copied);
    return (uint32_t)(copied >> PAGE_SHIFT);
}

int userfault_install_run(const struct userfault *userfault, uint64_t page, const void *data, uint32_t count)
{
    int result = 0;
    uint32_t size = count; /* pages at once: a request must lie in one mapping */
    for (uint32_t done = 0; done < count;) {
        if (size > count - done)
            size = count - done;
        uint64_t copied;
        int error = userfault_copy(userfault, page + done, (const uint8_t *)data + (size_t)done * PAGE_BYTES,
                                   (uint64_t)size * PAGE_BYTES, 0, &copied);
        done += (uint32_t)(copied >> PAGE_SHIFT);
        if (error == 0)
            continue;
        if (error == -ENOENT && size > 1) {
            size /= 2;
            continue;
        }
        if (error != -EEXIST)
            result = error;
        /* There already, or not mapped any more: whoever waits for it tries again. */
        userfault_wake(userfault, page + done, 1);
        done++;
    }
    return result;
}

void userfault_zero_run(const struct userfault *userfault, uint64_t page, uint64_t count)
{
    /* Never written, so that it costs one page whatever its size. */
    static uint8_t zeros[USERFAULT_ZERO_RUN_MAX * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    PAGER_ASSERT(count <= USERFAULT_ZERO_RUN_MAX);
    while (count != 0) {
        struct uffdio_copy request = {
            .dst = page << PAGE_SHIFT,
            .src = (uintptr_t)zeros,
            .len = count << PAGE_SHIFT,
            .mode = UFFDIO_COPY_MODE_DONTWAKE,
        };
        if (ioctl(userfault->fd, UFFDIO_COPY, &request) == 0 || errno != ENOENT)
            return; /* it is only ever a help */
        count /= 2; /* a request must lie in one mapping */
    }
}

void userfault_wake(const struct userfault *userfault, uint64_t page, uint64_t count)
{
    struct uffdio_range range = {.start = page << PAGE_SHIFT, .len = count << PAGE_SHIFT};
    if (ioctl(userfault->fd, UFFDIO_WAKE, &range) != 0)
        pager_fatal("wake of page 0x%lx: %s", page << PAGE_SHIFT, strerror(errno));
}

static void discard_one(uint64_t page)
{
    for (unsigned tries = 0;; tries++) {
        int error = madvise((void *)(page << PAGE_SHIFT), PAGE_BYTES, MADV_DONTNEED_LOCKED) == 0 ? 0 : errno;
        if (error == ENOMEM)
            error = ENOENT;
        if (userfault_result("discard", page, error, tries) <= 0)
            return;
    }
}

/* One call for all, which forgets their translations once. Linux 6.16 does; older ones refuse the descriptor or the
 * advice. */
static unsigned discard_many(const uint64_t *pages, unsigned count)
{
    struct iovec ranges[USERFAULT_DISCARDS_MAX];
    for (unsigned i = 0; i < count; i++)
        ranges[i] = (struct iovec){(void *)(pages[i] << PAGE_SHIFT), PAGE_BYTES};
    long bytes = syscall(SYS_process_madvise, PIDFD_SELF, ranges, count, MADV_DONTNEED_LOCKED, 0);
    return bytes > 0 ? (unsigned)((uint64_t)bytes >> PAGE_SHIFT) : 0;
}

void userfault_discard(const struct userfault *userfault, const uint64_t *pages, unsigned count)
{
    (void)userfault;
    PAGER_ASSERT(count <= USERFAULT_DISCARDS_MAX);
    unsigned done = count > 1 ? discard_many(pages, count) : 0;
    for (; done < count; done++)
        discard_one(pages[done]);
}

/* Most pages that are not zero show it in their first line; the rest is one pass over 4 KiB that is
 * in the cache. */
bool userfault_is_zero(const void *data)
{
    typedef uint64_t lanes __attribute__((vector_size(32), aligned(8), may_alias));
    const lanes *at = data;
    for (size_t i = 0; i < PAGE_BYTES / sizeof *at; i += 4) {
        lanes sum = at[i] | at[i + 1] | at[i + 2] | at[i + 3];
        if ((sum[0] | sum[1] | sum[2] | sum[3]) != 0)
            return false;
    }
    return true;
}

int userfault_read(const struct userfault *userfault, uint64_t page, void *data, bool populate)
{
    off_t offset = (off_t)(page << PAGE_SHIFT);
    if (pread(userfault->memory, data, PAGE_BYTES, offset) == PAGE_BYTES)
        return userfault_is_zero(data);
    if (!populate)
        return -ENOENT;
    uint64_t copied;
    int result = userfault_copy(userfault, page, zero_page, PAGE_BYTES, UFFDIO_COPY_MODE_WP, &copied);
    if (result == 0) {
        memset(data, 0, PAGE_BYTES);
        return 1;
    }
    if (result != -EEXIST)
        return result;
    if (pread(userfault->memory, data, PAGE_BYTES, offset) != PAGE_BYTES)
        pager_fatal("page 0x%lx is there but cannot be read: %s", page << PAGE_SHIFT, strerror(errno));
    return userfault_is_zero(data);
}

uint32_t userfault_read_run(const struct userfault *userfault, uint64_t page, void *data, uint32_t count)
{
    size_t done = 0, bytes = (size_t)count * PAGE_BYTES;
    while (done < bytes) {
        ssize_t got =
            pread(userfault->memory, (uint8_t *)data + done, bytes - done, (off_t)((page << PAGE_SHIFT) + done));
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return (uint32_t)(done / PAGE_BYTES);
}
