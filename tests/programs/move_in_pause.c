/* A thread that is moved while it waits for a signal waits on, and a signal ends the wait with
 * EINTR as ever. */
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "behaviour.h"

static _Atomic int identity, turn = -1;

static void handler(int signal)
{
    (void)signal;
}

static void *run(void *unused)
{
    (void)unused;
    struct epoll_event event;
    sigset_t none;
    sigemptyset(&none);
    int epoll = epoll_create1(0);
    identity = gettid();
    for (int i = 0; i < 4; i++) {
        turn = i;
        int result = i % 2 ? epoll_pwait(epoll, &event, 1, 60000, &none) : sigsuspend(&none);
        printf("%d: %d %s\n", i, result, errno == EINTR ? "EINTR" : strerror(errno));
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < 4; i++) {
        while (turn < i)
            usleep(1000);
        move_thread(identity, i < 2 ? 0 : 1);
        usleep(10000);
        move_thread(identity, 1);
        usleep(10000);
        CHECK(turn == i);
        CHECK0(pthread_kill(thread, SIGUSR1));
    }
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
