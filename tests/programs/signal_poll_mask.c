/* ppoll, pselect and epoll_pwait open the mask only while they wait, and put it back. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "behaviour.h"

static volatile int hits;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void *run(void *unused)
{
    sigset_t blocked, none, now;
    struct timespec second = {1, 0}, zero = {0};
    struct epoll_event event;
    int epoll = epoll_create1(0);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK0(pthread_sigmask(SIG_BLOCK, &blocked, NULL));
    for (int i = 0; i < 9; i++) {
        CHECK(raise(SIGUSR1) == 0 && hits == i);
        int result = i % 3 == 0   ? ppoll(NULL, 0, &second, &none)
                     : i % 3 == 1 ? pselect(0, NULL, NULL, NULL, &second, &none)
                                  : epoll_pwait(epoll, &event, 1, 1000, &none);
        CHECK(result == -1 && errno == EINTR && hits == i + 1);
        CHECK0(pthread_sigmask(SIG_BLOCK, NULL, &now));
        CHECK(sigismember(&now, SIGUSR1) == 1);
    }
    CHECK(ppoll(NULL, 0, &zero, &none) == 0 && hits == 9);
    CHECK(raise(SIGUSR1) == 0 && ppoll(NULL, 0, &zero, &blocked) == 0 && hits == 9);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    printf("%d\n", hits);
    return 0;
}
