/*
 * Descriptors of the monitor, kept above the program's limit.
 *
 * A descriptor at or above RLIMIT_NOFILE stays valid when it was opened under a higher limit, and the kernel answers
 * EBADF for any attempt of the program to put one of its own there. Where the limit cannot be raised, the last ones below
 * it are used and guarded by number.
 */
#include "monitor/fdguard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GUARDED_COUNT 4096u /* room above the floor */
#define FLOOR_MAX     (1u << 20)

static unsigned fd_floor;
static bool raises;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fdguard_initialise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = limit.rlim_max = 1024;
    raises = limit.rlim_cur < FLOOR_MAX &&
             (geteuid() == 0 || limit.rlim_max >= limit.rlim_cur + GUARDED_COUNT);
    if (raises)
        fd_floor = (unsigned)limit.rlim_cur;
    else
        fd_floor = (limit.rlim_cur > FLOOR_MAX ? FLOOR_MAX : (unsigned)limit.rlim_cur) - 128;
}

unsigned fdguard_floor(void)
{
    return fd_floor;
}

int fdguard_move(int fd)
{
    struct rlimit limit, wide;
    pthread_mutex_lock(&lock);
    bool raised = false;
    if (raises && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        wide = limit;
        wide.rlim_cur = fd_floor + GUARDED_COUNT;
        if (wide.rlim_max < wide.rlim_cur)
            wide.rlim_max = wide.rlim_cur;
        raised = setrlimit(RLIMIT_NOFILE, &wide) == 0;
    }
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)fd_floor);
    int error = errno;
    if (raised)
        setrlimit(RLIMIT_NOFILE, &limit);
    pthread_mutex_unlock(&lock);
    if (moved < 0)
        return -error;
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
