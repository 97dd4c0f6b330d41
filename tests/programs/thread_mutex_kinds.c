/* Recursive, error-checking and adaptive mutexes, trylock and timedlock, between threads on several
 * nodes. */
#include <pthread.h>
#include <time.h>

#include "behaviour.h"

static pthread_mutex_t recursive, checking, adaptive, plain = PTHREAD_MUTEX_INITIALIZER;
static long counter[3];

static void make(pthread_mutex_t *mutex, int kind)
{
    pthread_mutexattr_t attributes;
    CHECK0(pthread_mutexattr_init(&attributes));
    CHECK0(pthread_mutexattr_settype(&attributes, kind));
    CHECK0(pthread_mutex_init(mutex, &attributes));
}

static void *run(void *unused)
{
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += soon.tv_nsec > 950000000;
    soon.tv_nsec = (soon.tv_nsec + 50000000) % 1000000000;
    CHECK(pthread_mutex_trylock(&plain) == EBUSY && pthread_mutex_timedlock(&plain, &soon) == ETIMEDOUT);
    CHECK(pthread_mutex_unlock(&checking) == EPERM);
    for (int i = 0; i < 500; i++) {
        CHECK0(pthread_mutex_lock(&recursive));
        CHECK0(pthread_mutex_lock(&recursive));
        counter[0]++;
        CHECK0(pthread_mutex_unlock(&recursive));
        CHECK0(pthread_mutex_unlock(&recursive));
        CHECK0(pthread_mutex_lock(&checking));
        CHECK(pthread_mutex_lock(&checking) == EDEADLK);
        counter[1]++;
        CHECK0(pthread_mutex_unlock(&checking));
        CHECK0(pthread_mutex_lock(&adaptive));
        counter[2]++;
        CHECK0(pthread_mutex_unlock(&adaptive));
    }
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    make(&recursive, PTHREAD_MUTEX_RECURSIVE);
    make(&checking, PTHREAD_MUTEX_ERRORCHECK);
    make(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP);
    CHECK0(pthread_mutex_lock(&plain));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%ld %ld %ld\n", counter[0], counter[1], counter[2]);
    return 0;
}
