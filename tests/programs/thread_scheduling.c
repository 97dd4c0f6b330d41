/* Affinity, getcpu, policies, priorities and niceness of each thread are what the thread has set.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "behaviour.h"

static void *run(void *unused)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(i, &one);
        CHECK0(pthread_setaffinity_np(pthread_self(), sizeof one, &one));
        CPU_ZERO(&one);
        CHECK0(pthread_getaffinity_np(pthread_self(), sizeof one, &one));
        CHECK(CPU_COUNT(&one) == 1 && CPU_ISSET(i, &one));
    }
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == -1 && errno == EINVAL);
    struct sched_param parameters = {0};
    int policy;
    CHECK0(pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters));
    CHECK0(pthread_getschedparam(pthread_self(), &policy, &parameters));
    CHECK(policy == SCHED_BATCH && setpriority(PRIO_PROCESS, (id_t)gettid(), 5) == 0);
    CHECK(getpriority(PRIO_PROCESS, 0) == 5 && sched_yield() == 0);
    CHECK(sched_get_priority_max(SCHED_FIFO) == 99);
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    unsigned processor, node;
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    cpu_set_t all;
    CHECK(getpriority(PRIO_PROCESS, 0) == 0 && sched_getscheduler(0) == SCHED_OTHER &&
          sched_getaffinity(0, sizeof all, &all) == 0);
    CHECK(getcpu(&processor, &node) == 0 && CPU_ISSET(processor, &all) && CPU_ISSET(sched_getcpu(), &all));
    puts("as set");
    return 0;
}
