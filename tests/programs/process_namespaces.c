/* unshare and clone with new namespaces: another host name, another root of pids, another mount
 * table. */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    char before[64], name[64];
    int status;
    CHECK(gethostname(before, sizeof before) == 0);
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWUTS) != 0)
            _exit(77);
        CHECK(sethostname("elsewhere", 9) == 0 && gethostname(name, sizeof name) == 0 &&
              strcmp(name, "elsewhere") == 0);
        pid_t inner = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
        if (inner == 0)
            _exit(getpid() == 1 && getppid() == 0 && gettid() == 1 ? 5 : 6);
        CHECK(waitpid(inner, &status, 0) == inner && WEXITSTATUS(status) == 5);
        CHECK(unshare(CLONE_NEWPID) == 0);
        inner = fork();
        if (inner == 0)
            _exit(getpid() == 1 ? 5 : 6);
        CHECK(waitpid(inner, &status, 0) == inner && WEXITSTATUS(status) == 5);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        return 77;
    CHECK(WEXITSTATUS(status) == 0 && gethostname(name, sizeof name) == 0 && strcmp(name, before) == 0);
    puts("elsewhere");
    return 0;
}
