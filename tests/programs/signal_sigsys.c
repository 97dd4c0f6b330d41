/* The program's own SIGSYS handler runs when somebody sends the signal, and for nothing else. */
#include <signal.h>

#include "behaviour.h"

static volatile int count, code;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(signal == SIGSYS);
    code = info->si_code;
    count++;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO}, seen;
    CHECK(sigaction(SIGSYS, &action, NULL) == 0);
    CHECK(sigaction(SIGSYS, NULL, &seen) == 0 && seen.sa_sigaction == handler);
    for (int i = 0; i < OFTEN; i++) {
        CHECK(raw_call(100000, 0, 0, 0, 0, 0, 0) == -ENOSYS);
        CHECK(raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0) == getpid());
        CHECK(count == i);
        CHECK(kill(getpid(), SIGSYS) == 0);
        CHECK(count == i + 1 && code == SI_USER);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(raise(SIGSYS) == 0 && count == OFTEN);
    CHECK(raw_call(SYS_getppid, 0, 0, 0, 0, 0, 0) == getppid());
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && count == OFTEN + 1);
    printf("%d\n", count);
    return 0;
}
