/* A signal for the process goes to a thread that has it open, wherever that runs; a child sends it.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic int hits, identity, wrong, stop;

static void handler(int signal)
{
    (void)signal;
    if (gettid() != identity)
        wrong++;
    hits++;
}

static void *run(void *unused)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    identity = gettid();
    CHECK0(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    while (!stop)
        __asm__ volatile("pause");
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(kill(getppid(), SIGUSR1));
        CHECK(waitpid(child, NULL, 0) == child);
        while (hits == i)
            usleep(1000);
    }
    stop = 1;
    CHECK0(pthread_join(thread, NULL));
    printf("%d, wrong %d\n", hits, wrong);
    return 0;
}
