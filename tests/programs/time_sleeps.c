/* Sleeping: relative, absolute, interrupted with the rest told, on every node. */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "behaviour.h"

static pthread_t sleeper;
static _Atomic int sleeping;

static void handler(int signal)
{
    (void)signal;
}

static void *interrupt(void *unused)
{
    while (!sleeping)
        usleep(1000);
    usleep(50000);
    CHECK0(pthread_kill(sleeper, SIGUSR1));
    return unused;
}

static void *run(void *unused)
{
    struct timespec now, later, ten = {10, 0}, rest = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    later = (struct timespec){now.tv_sec, now.tv_nsec + 20000000};
    if (later.tv_nsec >= 1000000000)
        later = (struct timespec){later.tv_sec + 1, later.tv_nsec - 1000000000};
    CHECK0(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &later, NULL));
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec > later.tv_sec || (now.tv_sec == later.tv_sec && now.tv_nsec >= later.tv_nsec));
    CHECK0(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &later, NULL));
    sleeper = pthread_self();
    sleeping = 1;
    CHECK(nanosleep(&ten, &rest) == -1 && errno == EINTR && rest.tv_sec == 9);
    ten.tv_nsec = -1;
    CHECK(nanosleep(&ten, NULL) == -1 && errno == EINVAL && usleep(1000) == 0);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t threads[2];
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK0(pthread_create(&threads[0], NULL, run, NULL));
    CHECK0(pthread_create(&threads[1], NULL, interrupt, NULL));
    CHECK0(pthread_join(threads[0], NULL));
    CHECK0(pthread_join(threads[1], NULL));
    puts("slept");
    return 0;
}
