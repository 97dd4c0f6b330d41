/*
 * Descriptors of the monitor: a bit for each number.
 */
#include "runtime/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#define WORD_BITS 64u

static uint64_t marks[DESCRIPTOR_MAX / WORD_BITS];
static bool borrowed;

static void mark(unsigned fd)
{
    __atomic_fetch_or(&marks[fd / WORD_BITS], 1ul << fd % WORD_BITS, __ATOMIC_SEQ_CST);
}

static void unmark(unsigned fd)
{
    __atomic_fetch_and(&marks[fd / WORD_BITS], ~(1ul << fd % WORD_BITS), __ATOMIC_SEQ_CST);
}

/* A copy of `fd` at `floor` or above, also where that is beyond the program's own limit. */
static int copy_above(int fd, int floor)
{
    int raised = fcntl(fd, F_DUPFD_CLOEXEC, floor);
    struct rlimit limit, open;
    if (raised >= 0 || (errno != EINVAL && errno != EMFILE) || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur == limit.rlim_max)
        return raised < 0 ? -errno : raised;
    open = (struct rlimit){limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &open) != 0)
        return -errno;
    raised = fcntl(fd, F_DUPFD_CLOEXEC, floor);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &limit);
    return raised < 0 ? -error : raised;
}

int descriptor_raise(int fd, int floor)
{
    if (fd < 0 || floor == 0)
        return fd;
    if (fd < floor) {
        int result = copy_above(fd, floor);
        close(fd);
        if (result < 0)
            return result;
        fd = result;
    }
    if ((unsigned)fd >= DESCRIPTOR_MAX) {
        close(fd);
        return -EMFILE;
    }
    mark((unsigned)fd);
    return fd;
}

void descriptor_close(int fd)
{
    if (fd < 0 || borrowed)
        return;
    /* The mark first: the number may be somebody else's as soon as it is closed. */
    if ((unsigned)fd < DESCRIPTOR_MAX)
        unmark((unsigned)fd);
    close(fd);
}

bool descriptor_is_ours(unsigned fd)
{
    return fd < DESCRIPTOR_MAX && __atomic_load_n(&marks[fd / WORD_BITS], __ATOMIC_SEQ_CST) >> fd % WORD_BITS & 1;
}

unsigned descriptor_next(unsigned from)
{
    for (unsigned fd = from; fd < DESCRIPTOR_MAX;) {
        uint64_t word = __atomic_load_n(&marks[fd / WORD_BITS], __ATOMIC_SEQ_CST) >> fd % WORD_BITS;
        if (word)
            return fd + (unsigned)__builtin_ctzl(word);
        fd = (fd / WORD_BITS + 1) * WORD_BITS;
    }
    return DESCRIPTOR_MAX;
}

void descriptor_borrow(bool on)
{
    borrowed = on;
}

void descriptor_close_all(void)
{
    for (unsigned fd = descriptor_next(0); fd < DESCRIPTOR_MAX; fd = descriptor_next(fd + 1))
        descriptor_close((int)fd);
}
