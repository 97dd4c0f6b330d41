/* waitid, wait4 and waitpid in all their variants, from a thread that did not make the child. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "behaviour.h"

static pid_t make(int status)
{
    pid_t child = fork();
    if (child == 0)
        _exit(status);
    return child;
}

static void *wait_all(void *argument)
{
    const pid_t *children = argument;
    siginfo_t info;
    struct rusage usage;
    int status;
    CHECK(waitid(P_PID, (id_t)children[0], &info, WEXITED | WNOWAIT) == 0 && info.si_status == 1 &&
          info.si_code == CLD_EXITED);
    CHECK(waitid(P_PID, (id_t)children[0], &info, WEXITED) == 0 && info.si_pid == children[0]);
    CHECK(wait4(children[1], &status, 0, &usage) == children[1] && WEXITSTATUS(status) == 2 && usage.ru_maxrss > 0);
    CHECK(waitpid(0, &status, 0) == children[2] && WEXITSTATUS(status) == 3);
    CHECK(waitpid(-1, &status, WNOHANG) == 0);
    CHECK(kill(children[3], SIGKILL) == 0);
    CHECK(waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_code == CLD_KILLED && info.si_status == SIGKILL);
    CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pid_t children[4];
    for (int i = 0; i < 3; i++) {
        siginfo_t info;
        children[i] = make(i + 1);
        CHECK(waitid(P_PID, (id_t)children[i], &info, WEXITED | WNOWAIT) == 0);
    }
    children[3] = fork();
    if (children[3] == 0)
        for (;;)
            pause();
    CHECK0(pthread_create(&thread, NULL, wait_all, children));
    CHECK0(pthread_join(thread, NULL));
    puts("all waited for");
    return 0;
}
