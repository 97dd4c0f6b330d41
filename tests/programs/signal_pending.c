/* sigpending shows what waits for the thread and for the process; a standard signal waits only
 * once. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static volatile int hits;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void *run(void *unused)
{
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    CHECK(raise(SIGHUP) == 0 && raise(SIGSEGV) == 0 && sigpending(&pending) == 0);
    CHECK(sigismember(&pending, SIGHUP) && sigismember(&pending, SIGSEGV));
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t all, pending;
    pthread_t thread;
    sigfillset(&all);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGHUP, &action, NULL) == 0);
    CHECK0(pthread_sigmask(SIG_BLOCK, &all, NULL));
    for (int i = 0; i < 5; i++)
        CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(raise(SIGUSR2) == 0 && sigpending(&pending) == 0);
    CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGHUP));
    CHECK0(pthread_sigmask(SIG_UNBLOCK, &all, NULL));
    printf("%d\n", hits);
    return 0;
}
