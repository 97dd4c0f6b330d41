/*
 * The 32-bit calls that take the same structures as their x86-64 namesakes. Numbers of
 * arch/x86/entry/syscalls/syscall_32.tbl. The kernel takes arguments of such a call as 32 bits each and widens them as
 * its compat entry points say: without sign, but for offsets of files.
 */
#include "syscall/table_32.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum quirk {
    SAME,
    OFFSET,  /* the second argument has a sign */
    WAITPID, /* no rusage */
    MAP,     /* the last argument counts pages of 4 KiB; the result has 32 bits */
    REMAP,   /* the result has 32 bits: it stays where it is, unless the program says where it goes */
    CONTROL, /* some of them take structures that are laid out in another way */
};

static const struct row {
    uint16_t number, number_64;
    uint8_t quirk;
} rows[] = {
    {CALL_32_RESTART, SYS_restart_syscall, SAME},
    {1, SYS_exit, SAME},
    {2, SYS_fork, SAME},
    {3, SYS_read, SAME},
    {4, SYS_write, SAME},
    {5, SYS_open, SAME},
    {6, SYS_close, SAME},
    {7, SYS_wait4, WAITPID},
    {8, SYS_creat, SAME},
    {9, SYS_link, SAME},
    {10, SYS_unlink, SAME},
    {12, SYS_chdir, SAME},
    {14, SYS_mknod, SAME},
    {15, SYS_chmod, SAME},
    {19, SYS_lseek, OFFSET},
    {20, SYS_getpid, SAME},
    {27, SYS_alarm, SAME},
    {29, SYS_pause, SAME},
    {33, SYS_access, SAME},
    {36, SYS_sync, SAME},
    {37, SYS_kill, SAME},
    {38, SYS_rename, SAME},
    {39, SYS_mkdir, SAME},
    {40, SYS_rmdir, SAME},
    {41, SYS_dup, SAME},
    {42, SYS_pipe, SAME},
    {45, SYS_brk, SAME},
    {57, SYS_setpgid, SAME},
    {60, SYS_umask, SAME},
    {63, SYS_dup2, SAME},
    {64, SYS_getppid, SAME},
    {65, SYS_getpgrp, SAME},
    {66, SYS_setsid, SAME},
    {83, SYS_symlink, SAME},
    {85, SYS_readlink, SAME},
    {91, SYS_munmap, SAME},
    {92, SYS_truncate, OFFSET},
    {93, SYS_ftruncate, OFFSET},
    {94, SYS_fchmod, SAME},
    {96, SYS_getpriority, SAME},
    {97, SYS_setpriority, SAME},
    {118, SYS_fsync, SAME},
    {122, SYS_uname, SAME},
    {125, SYS_mprotect, SAME},
    {132, SYS_getpgid, SAME},
    {133, SYS_fchdir, SAME},
    {143, SYS_flock, SAME},
    {144, SYS_msync, SAME},
    {147, SYS_getsid, SAME},
    {148, SYS_fdatasync, SAME},
    {150, SYS_mlock, SAME},
    {151, SYS_munlock, SAME},
    {152, SYS_mlockall, SAME},
    {153, SYS_munlockall, SAME},
    {158, SYS_sched_yield, SAME},
    {163, SYS_mremap, REMAP},
    {168, SYS_poll, SAME},
    {172, SYS_prctl, CONTROL},
    {183, SYS_getcwd, SAME},
    {190, SYS_vfork, SAME},
    {192, SYS_mmap, MAP},
    {199, SYS_getuid, SAME},
    {200, SYS_getgid, SAME},
    {201, SYS_geteuid, SAME},
    {202, SYS_getegid, SAME},
    {207, SYS_fchown, SAME},
    {212, SYS_chown, SAME},
    {213, SYS_setuid, SAME},
    {214, SYS_setgid, SAME},
    {218, SYS_mincore, SAME},
    {219, SYS_madvise, SAME},
    {220, SYS_getdents64, SAME},
    {224, SYS_gettid, SAME},
    {238, SYS_tkill, SAME},
    {252, SYS_exit_group, SAME},
    {254, SYS_epoll_create, SAME},
    {255, SYS_epoll_ctl, SAME},
    {256, SYS_epoll_wait, SAME},
    {258, SYS_set_tid_address, SAME},
    {270, SYS_tgkill, SAME},
    {295, SYS_openat, SAME},
    {296, SYS_mkdirat, SAME},
    {301, SYS_unlinkat, SAME},
    {302, SYS_renameat, SAME},
    {303, SYS_linkat, SAME},
    {304, SYS_symlinkat, SAME},
    {305, SYS_readlinkat, SAME},
    {306, SYS_fchmodat, SAME},
    {307, SYS_faccessat, SAME},
    {318, SYS_getcpu, SAME},
    {323, SYS_eventfd, SAME},
    {328, SYS_eventfd2, SAME},
    {329, SYS_epoll_create1, SAME},
    {330, SYS_dup3, SAME},
    {331, SYS_pipe2, SAME},
    {332, SYS_inotify_init1, SAME},
    {355, SYS_getrandom, SAME},
    {356, SYS_memfd_create, SAME},
    {359, SYS_socket, SAME},
    {360, SYS_socketpair, SAME},
    {361, SYS_bind, SAME},
    {362, SYS_connect, SAME},
    {363, SYS_listen, SAME},
    {364, SYS_accept4, SAME},
    {367, SYS_getsockname, SAME},
    {368, SYS_getpeername, SAME},
    {369, SYS_sendto, SAME},
    {371, SYS_recvfrom, SAME},
    {373, SYS_shutdown, SAME},
    {383, SYS_statx, SAME},
    {403, SYS_clock_gettime, SAME},
    {406, SYS_clock_getres, SAME},
    {407, SYS_clock_nanosleep, SAME},
    {422, SYS_futex, SAME},
};

bool call_32_translate(uint64_t *number, uint64_t arguments[6])
{
    const struct row *row = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && row == NULL; i++)
        if (rows[i].number == *number)
            row = &rows[i];
    for (unsigned i = 0; i < 6; i++)
        arguments[i] = (uint32_t)arguments[i];
    if (row == NULL)
        return false;
    *number = row->number_64;
    switch (row->quirk) {
    case OFFSET:
        arguments[1] = (uint64_t)(int64_t)(int32_t)arguments[1];
        break;
    case WAITPID:
        arguments[3] = 0;
        break;
    case MAP:
        arguments[5] <<= 12;
        if (!(arguments[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
            arguments[3] |= MAP_32BIT;
        break;
    case REMAP:
        if (!(arguments[3] & MREMAP_FIXED))
            arguments[3] &= ~(uint64_t)MREMAP_MAYMOVE;
        break;
    case CONTROL:
        if (arguments[0] == PR_SET_SECCOMP || arguments[0] == PR_SET_MM)
            return false;
        break;
    default:
        break;
    }
    return true;
}
