/* A seccomp filter that turns calls into SIGSYS: the handler answers them, from any thread and for any call. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "behaviour.h"

static _Atomic int traps;

static void handler(int signal, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    CHECK(signal == SIGSYS && info->si_code == 1);
    CHECK(info->si_syscall == SYS_getppid || info->si_syscall == SYS_openat || info->si_syscall == SYS_mkdir);
    CHECK((unsigned long)info->si_call_addr == (unsigned long)at->uc_mcontext.gregs[REG_RIP]);
    at->uc_mcontext.gregs[REG_RAX] = info->si_syscall == SYS_openat ? -ENOTSUP : 4242;
    traps++;
}

static void *run(void *unused)
{
    for (int i = 0; i < OFTEN; i++)
        CHECK(syscall(SYS_getppid) == 4242);
    CHECK(open("/nowhere", O_RDONLY) == -1 && errno == ENOTSUP);
    CHECK(open("/proc/nowhere", O_RDONLY) == -1 && errno == ENOTSUP);
    CHECK(syscall(SYS_mkdir, "x", 0) == 4242);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, (void *(*)(void *))(void *)sleep, NULL)); /* peers are in use */
    CHECK0(pthread_join(thread, NULL));
#define TRAPS(call, rest) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, rest, 0)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        TRAPS(SYS_getppid, 3),
        TRAPS(SYS_openat, 2),
        TRAPS(SYS_mkdir, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
    run(NULL);
    printf("%d calls answered by the program\n", traps);
    return 0;
}
