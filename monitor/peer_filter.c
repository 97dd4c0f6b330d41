/*
 * The allow-list of a peer's runtime process: memory, threads, time, and the descriptors it has
 * already. Not for policy: a program's files, sockets and processes are home's, so a peer never
 * needs to open, connect or execute.
 *
 * A call that is not listed fails with EPERM, and is not carried out; it does not end the process.
 * The program's own calls never get this far, so what does is either a gap in the list, which the
 * monitor's error paths then report without taking the user's program down, or code that an
 * attacker brought along, which gets nothing out of it. What only such code would do, to start
 * another program or to reach into another process, ends the process.
 */
#include "monitor/peer_filter.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PIDFD_SELF_THREAD    (uint32_t) - 10000 /* linux/pidfd.h: the memory of whoever calls */
#define USERFAULT_IOCTL_TYPE 0xaa00u            /* linux/userfaultfd.h: UFFDIO */

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static const int allowed[] = {
    /* memory */
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    /* descriptors that are there */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(shutdown),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(eventfd2),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    /* threads and signals */
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(pause),
    SCMP_SYS(arch_prctl),
    /* time and facts */
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getrusage),
    SCMP_SYS(uname),
    SCMP_SYS(getrandom),
};

static const int prctl_options[] = {PR_SET_SYSCALL_USER_DISPATCH, PR_SET_NAME, PR_GET_NAME};

static const int fatal[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_writev),
};

static int add_calls(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int error = 0;
    for (size_t i = 0; i < count && !error; i++)
        error = seccomp_rule_add(filter, action, calls[i], 0);
    return error;
}

/* Calls that are allowed with some arguments only. */
static int add_conditions(scmp_filter_ctx filter)
{
    const scmp_datum_t own = (scmp_datum_t)getpid();
    const scmp_datum_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    int error = 0;
    for (size_t i = 0; i < sizeof prctl_options / sizeof *prctl_options && !error; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctl_options[i], 0));
    /* Threads, not processes. clone3 has its flags in memory, which a filter cannot read: libc
     * falls back on ENOSYS. */
    if (!error)
        error =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, USERFAULT_IOCTL_TYPE));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD, 0));
    const int own_only[] = {SCMP_SYS(tgkill), SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(process_vm_readv), SCMP_SYS(kill)};
    for (size_t i = 0; i < sizeof own_only / sizeof *own_only && !error; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, own_only[i], 1, SCMP_A0(SCMP_CMP_EQ, own, 0));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(process_madvise), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, PIDFD_SELF_THREAD));
    return error;
}

int peer_filter_install(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return -ENOMEM;
    /* Threads made since the session began get it too; calls of another ABI have other numbers and
     * are none of ours. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    /* A tree instead of a list: the cost of a call is the logarithm of the number of rules. */
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!error)
        error = add_calls(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof *allowed);
    if (!error)
        error = add_calls(filter, SCMP_ACT_KILL_PROCESS, fatal, sizeof fatal / sizeof *fatal);
    if (!error)
        error = add_conditions(filter);
    if (!error)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error;
}
