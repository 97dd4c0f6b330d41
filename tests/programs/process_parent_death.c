/* PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER: a child learns that its parent is gone, the
 * grandparent gets it. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    int ends[2], status;
    char byte;
    CHECK(pipe(ends) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            if (write(ends[1], "r", 1) != 1)
                _exit(1);
            while (getppid() == parent)
                pause(); /* SIGUSR1 kills it here */
            _exit(2);
        }
        if (read(ends[0], &byte, 1) != 1)
            _exit(3);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    pid_t orphan = wait(&status);
    CHECK(orphan > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    CHECK(wait(&status) == -1 && errno == ECHILD);
    puts("told and inherited");
    return 0;
}
