/* A thread runs where its mask says: after sched_setaffinity, also by another thread, after a signal, and from its
 * start. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "behaviour.h"

static int processors;
static _Atomic int told, seen;

static void bind_to(pthread_t thread, int processor)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(processor, &mask);
    CHECK0(pthread_setaffinity_np(thread, sizeof mask, &mask));
}

/* Within a second, for others only ask it to go. */
static bool comes_to(int processor)
{
    for (int i = 0; i < 1000 && sched_getcpu() != processor; i++)
        usleep(1000);
    return sched_getcpu() == processor;
}

static void handler(int signal)
{
    seen = signal;
}

static void *first_steps(void *argument)
{
    CHECK(comes_to(processors - 1)); /* inherited */
    return argument;
}

static void *other(void *argument)
{
    while (!told)
        usleep(1000);
    CHECK(comes_to(processors - 1));
    return argument;
}

int main(void)
{
    pthread_t thread;
    processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    CHECK(signal(SIGUSR1, handler) != SIG_ERR);
    for (int round = 0; round < 3; round++)
        for (int processor = 0; processor < processors; processor++) {
            bind_to(pthread_self(), processor);
            CHECK(comes_to(processor));
            CHECK(raise(SIGUSR1) == 0 && seen == SIGUSR1);
            seen = 0;
            CHECK(comes_to(processor));
        }
    CHECK0(pthread_create(&thread, NULL, first_steps, NULL));
    CHECK0(pthread_join(thread, NULL));
    bind_to(pthread_self(), 0);
    CHECK0(pthread_create(&thread, NULL, other, NULL));
    bind_to(thread, processors - 1);
    told = 1;
    CHECK0(pthread_join(thread, NULL));
    puts("bound");
    return 0;
}
