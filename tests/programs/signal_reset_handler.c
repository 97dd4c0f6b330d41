/* SA_RESETHAND: the handler runs once, and the second signal ends the process. */
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile sig_atomic_t handled;

static void handler(int signal)
{
    (void)signal;
    handled++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESETHAND};
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
        CHECK(raise(SIGTERM) == 0 && handled == 1);
        CHECK(raise(SIGSEGV) == 0 && handled == 2);
        raise(SIGTERM);
        _exit(1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    puts("once");
    return 0;
}
