/* SIGCHLD tells which child and how it ended; with SA_NOCLDWAIT or ignored, children leave nothing
 * behind. */
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile int count, codes[4], statuses[4];
static volatile pid_t pids[4];

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    codes[count] = info->si_code;
    statuses[count] = info->si_status;
    pids[count++] = info->si_pid;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP};
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (i == 1)
                raise(SIGKILL);
            _exit(40 + i);
        }
        while (count == i)
            usleep(1000);
        CHECK(pids[i] == child && waitpid(child, NULL, 0) == child);
        printf("%d %d\n", codes[i], statuses[i]);
    }
    action.sa_flags |= SA_NOCLDWAIT;
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    CHECK(waitpid(child, NULL, 0) == -1 && errno == ECHILD);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    child = fork();
    if (child == 0)
        _exit(0);
    CHECK(waitpid(child, NULL, 0) == -1 && errno == ECHILD);
    puts("no zombies");
    return 0;
}
