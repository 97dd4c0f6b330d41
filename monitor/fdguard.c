/*
 * Descriptors of the monitor, kept above the program's limit where the hard limit leaves room, or else in the last part
 * below it: the kernel hands out the lowest number that is free, so a program gets there only when it has opened all
 * others.
 */
#include "monitor/fdguard.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/thread.h"
#include "runtime/descriptor.h"

#define GUARDED_MAX 4096u
#define GUARDED_MIN 256u
#define FLOOR_MIN   1024u
#define FLOOR_MAX   (1u << 20) /* a descriptor table up to there costs 8 MiB */

static unsigned fd_floor;

/* Where ours begin under these limits. */
static unsigned floor_under(const struct rlimit *limit)
{
    if (limit->rlim_cur + GUARDED_MIN <= limit->rlim_max && limit->rlim_cur <= FLOOR_MAX) {
        unsigned floor = limit->rlim_cur > FLOOR_MIN ? (unsigned)limit->rlim_cur : FLOOR_MIN;
        if (floor + GUARDED_MIN <= limit->rlim_max)
            return floor; /* beyond what the program may use */
    }
    unsigned usable = limit->rlim_cur > FLOOR_MAX ? FLOOR_MAX : (unsigned)limit->rlim_cur;
    unsigned guarded = usable / 4 > GUARDED_MAX ? GUARDED_MAX : usable / 4;
    return usable - guarded;
}

void fdguard_initialise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = limit.rlim_max = FLOOR_MIN;
    fd_floor = floor_under(&limit);
}

static bool floor_tell(struct thread *thread, void *unused)
{
    (void)unused;
    __atomic_store_n(&thread->fd_floor, fd_floor, __ATOMIC_RELEASE);
    return true;
}

unsigned fdguard_floor(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && fd_floor >= limit.rlim_max) {
        fd_floor = floor_under(&limit); /* the program has lowered it for good */
        thread_each(floor_tell, NULL);
    }
    return fd_floor;
}

int fdguard_move(int fd)
{
    return descriptor_raise(fd, (int)fdguard_floor());
}

long fdguard_close(unsigned fd)
{
    if (descriptor_is_ours(fd))
        return -EBADF;
    return syscall(SYS_close, fd) < 0 ? -errno : 0;
}

/* Between ours, one piece after the other. */
long fdguard_close_range(unsigned first, unsigned last, unsigned flags)
{
    for (unsigned from = first; from <= last;) {
        unsigned ours = descriptor_next(from);
        unsigned end = ours == DESCRIPTOR_MAX || ours > last ? last : ours - 1;
        if (ours > from && syscall(SYS_close_range, from, end, flags) < 0)
            return -errno;
        if (end == last)
            return 0;
        from = ours + 1;
    }
    return first <= last ? 0 : -EINVAL;
}

void fdguard_close_ours(void)
{
    descriptor_close_all();
}
