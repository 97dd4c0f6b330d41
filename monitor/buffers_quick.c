/*
 * Which calls go along with their buffers: asked of every call that a peer forwards, before it has left the program's
 * vector registers. General registers only, no TLS, no libc.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "monitor/buffers_private.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

/* Not those that make two descriptors at once, which would be lost with the memory for their numbers (accept gives up
 * its one, and recvmsg writes control data where it is; what fanotify gives a reader is lost). */
#define GOES(written) (1 + WRITTEN_##written)

const uint8_t buffers_calls[CALL_COUNT] = {
    [SYS_read] = GOES(COUNTED),
    [SYS_pread64] = GOES(COUNTED),
    [SYS_write] = GOES(WHOLE),
    [SYS_pwrite64] = GOES(WHOLE),
    [SYS_readv] = GOES(COUNTED),
    [SYS_preadv] = GOES(COUNTED),
    [SYS_preadv2] = GOES(COUNTED),
    [SYS_writev] = GOES(WHOLE),
    [SYS_pwritev] = GOES(WHOLE),
    [SYS_pwritev2] = GOES(WHOLE),
    [SYS_getrandom] = GOES(COUNTED),
    /* sockets */
    [SYS_sendto] = GOES(WHOLE),
    [SYS_recvfrom] = GOES(COUNTED),
    [SYS_sendmsg] = GOES(COUNTED),
    [SYS_recvmsg] = GOES(COUNTED),
    [SYS_connect] = GOES(WHOLE),
    [SYS_bind] = GOES(WHOLE),
    [SYS_accept] = GOES(WHOLE),
    [SYS_accept4] = GOES(WHOLE),
    [SYS_getsockname] = GOES(WHOLE),
    [SYS_getpeername] = GOES(WHOLE),
    [SYS_setsockopt] = GOES(WHOLE),
    [SYS_getsockopt] = GOES(WHOLE),
    /* waiting, signals */
    [SYS_poll] = GOES(EVENTS),
    [SYS_ppoll] = GOES(EVENTS),
    [SYS_select] = GOES(WHOLE),
    [SYS_pselect6] = GOES(WHOLE),
    [SYS_epoll_wait] = GOES(COUNTED),
    [SYS_epoll_pwait] = GOES(COUNTED),
    [SYS_epoll_ctl] = GOES(WHOLE),
    [SYS_nanosleep] = GOES(WHOLE),
    [SYS_clock_nanosleep] = GOES(WHOLE),
    [SYS_futex] = GOES(WHOLE),
    [SYS_semop] = GOES(WHOLE),
    [SYS_semtimedop] = GOES(WHOLE),
    [SYS_wait4] = GOES(POSITIVE),
    [SYS_timerfd_settime] = GOES(WHOLE),
    [SYS_timerfd_gettime] = GOES(WHOLE),
    [SYS_rt_sigprocmask] = GOES(WHOLE),
    [SYS_rt_sigaction] = GOES(WHOLE),
    /* names */
    [SYS_open] = GOES(WHOLE),
    [SYS_openat] = GOES(WHOLE),
    [SYS_stat] = GOES(WHOLE),
    [SYS_lstat] = GOES(WHOLE),
    [SYS_fstat] = GOES(WHOLE),
    [SYS_newfstatat] = GOES(WHOLE),
    [SYS_statx] = GOES(WHOLE),
    [SYS_statfs] = GOES(WHOLE),
    [SYS_fstatfs] = GOES(WHOLE),
    [SYS_access] = GOES(WHOLE),
    [SYS_faccessat] = GOES(WHOLE),
    [SYS_faccessat2] = GOES(WHOLE),
    [SYS_readlink] = GOES(COUNTED),
    [SYS_readlinkat] = GOES(COUNTED),
    [SYS_getcwd] = GOES(COUNTED),
    [SYS_chdir] = GOES(WHOLE),
    [SYS_mkdir] = GOES(WHOLE),
    [SYS_mkdirat] = GOES(WHOLE),
    [SYS_rmdir] = GOES(WHOLE),
    [SYS_unlink] = GOES(WHOLE),
    [SYS_unlinkat] = GOES(WHOLE),
    [SYS_rename] = GOES(WHOLE),
    [SYS_renameat] = GOES(WHOLE),
    [SYS_renameat2] = GOES(WHOLE),
    [SYS_link] = GOES(WHOLE),
    [SYS_linkat] = GOES(WHOLE),
    [SYS_symlink] = GOES(WHOLE),
    [SYS_symlinkat] = GOES(WHOLE),
    [SYS_chmod] = GOES(WHOLE),
    [SYS_fchmodat] = GOES(WHOLE),
    [SYS_truncate] = GOES(WHOLE),
    [SYS_fcntl] = GOES(WHOLE),
    [SYS_utimensat] = GOES(WHOLE),
    [SYS_memfd_create] = GOES(WHOLE),
    [SYS_inotify_add_watch] = GOES(WHOLE),
    /* what the kernel tells */
    [SYS_uname] = GOES(WHOLE),
    [SYS_sysinfo] = GOES(WHOLE),
    [SYS_times] = GOES(WHOLE),
    [SYS_getrusage] = GOES(WHOLE),
    [SYS_getrlimit] = GOES(WHOLE),
    [SYS_prlimit64] = GOES(WHOLE),
    [SYS_getitimer] = GOES(WHOLE),
    [SYS_clock_getres] = GOES(WHOLE),
    [SYS_sched_getaffinity] = GOES(COUNTED),
};

/* An operation of the futex call that waits at most as long as its fourth argument says. */
static bool futex_has_limit(uint64_t operation)
{
    switch ((int)operation & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return true;
    default:
        return false;
    }
}

uint8_t buffer_lock_type(uint64_t command)
{
    switch ((int)command) {
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return ARG_IN;
    case F_GETLK:
    case F_OFD_GETLK:
        return ARG_INOUT;
    default:
        return ARG_NONE;
    }
}

bool buffers_may_go(uint64_t number, const uint64_t arguments[6])
{
    if (number == SYS_futex)
        return arguments[3] != 0 && futex_has_limit(arguments[1]);
    if (number == SYS_fcntl)
        return buffer_lock_type(arguments[1]) != ARG_NONE;
    return number < CALL_COUNT && buffers_calls[number] != 0;
}
