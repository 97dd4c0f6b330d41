/* Sessions and process groups: setsid, setpgid, a signal to a whole group. */
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    pid_t children[3], group = 0;
    int status;
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0)
            for (;;)
                pause();
        CHECK(setpgid(children[i], group) == 0);
        group = children[0];
        CHECK(getpgid(children[i]) == group);
    }
    CHECK(kill(-group, SIGUSR1) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(waitpid(-group, &status, 0) > 0 && WTERMSIG(status) == SIGUSR1);
    CHECK(kill(-group, 0) == -1 && errno == ESRCH);
    pid_t child = fork();
    if (child == 0) {
        CHECK(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid());
        CHECK(setsid() == -1 && errno == EPERM);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("grouped");
    return 0;
}
