/* A thread forks while others run: the child has that thread alone, and its memory. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic int stop;
static _Atomic long counter;
static _Thread_local int own;

static void *count(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        atomic_fetch_add(&counter, 1);
        sched_yield();
    }
    return NULL;
}

static void *fork_from(void *argument)
{
    own = (int)(long)argument;
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(gettid() == getpid());
            long before = atomic_load(&counter);
            usleep(1000);
            CHECK(atomic_load(&counter) == before); /* nobody counts here */
            _exit(own);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == own);
    }
    return NULL;
}

int main(void)
{
    pthread_t counters[2], forkers[2];
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&counters[i], NULL, count, NULL));
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&forkers[i], NULL, fork_from, (void *)(i + 11)));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(forkers[i], NULL));
    atomic_store(&stop, 1);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(counters[i], NULL));
    puts("10 children");
    return 0;
}
