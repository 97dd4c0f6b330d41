/*
 * Descriptors of the monitor, kept in the last part below RLIMIT_NOFILE: the kernel hands out the lowest number that is
 * free, so a program gets there only when it has opened all others.
 */
#include "monitor/fdguard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARDED_MAX 4096u
#define FLOOR_MAX   (1u << 20) /* a descriptor table up to there costs 8 MiB */

static unsigned fd_floor;

void fdguard_initialise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = 1024;
    unsigned usable = limit.rlim_cur > FLOOR_MAX ? FLOOR_MAX : (unsigned)limit.rlim_cur;
    unsigned guarded = usable / 4 > GUARDED_MAX ? GUARDED_MAX : usable / 4;
    fd_floor = usable - guarded;
}

unsigned fdguard_floor(void)
{
    return fd_floor;
}

int fdguard_move(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)fd_floor);
    if (moved < 0)
        return -errno;
    close(fd);
    return moved;
}

long fdguard_close(unsigned fd)
{
    if (fd >= fd_floor)
        return -EBADF;
    return syscall(SYS_close, fd) < 0 ? -errno : 0;
}

long fdguard_close_range(unsigned first, unsigned last, unsigned flags)
{
    if (first <= last && last >= fd_floor) {
        if (first >= fd_floor)
            return 0;
        last = fd_floor - 1;
    }
    return syscall(SYS_close_range, first, last, flags) < 0 ? -errno : 0;
}

void fdguard_close_ours(void)
{
    syscall(SYS_close_range, fd_floor, ~0u, 0);
}
