/* Masks go to new threads, and with what is ignored through fork and exec; handlers and pending
 * signals do not. */
/* args: first */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static void handler(int signal)
{
    (void)signal;
}

static const char *describe(int signal)
{
    struct sigaction action;
    sigset_t mask, pending;
    CHECK(sigaction(signal, NULL, &action) == 0 && sigpending(&pending) == 0);
    CHECK0(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    static char text[64];
    snprintf(text, sizeof text, "%s %s %s %s", sigabbrev_np(signal),
             action.sa_handler == SIG_DFL   ? "default"
             : action.sa_handler == SIG_IGN ? "ignored"
                                            : "handled",
             sigismember(&mask, signal) ? "blocked" : "open", sigismember(&pending, signal) ? "pending" : "none");
    return text;
}

static void *show(void *who)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGSEGV, SIGBUS, SIGTERM};
    for (int i = 0; i < 6; i++)
        printf("%s: %s\n", (char *)who, describe(signals[i]));
    fflush(stdout);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "second") == 0) {
        show("executed");
        return 0;
    }
    sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGTERM);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR && signal(SIGBUS, SIG_IGN) != SIG_ERR &&
          signal(SIGHUP, handler) != SIG_ERR);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK(raise(SIGUSR1) == 0 && raise(SIGSEGV) == 0 && kill(getpid(), SIGTERM) == 0);
    CHECK0(pthread_create(&thread, NULL, show, "thread"));
    CHECK0(pthread_join(thread, NULL));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        show("forked");
        execl("/proc/self/exe", argv[0], "second", NULL);
        _exit(1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    show("first");
    return 0;
}
