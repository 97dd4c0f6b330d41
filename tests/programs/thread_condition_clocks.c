/* Timed waits on conditions, with both clocks, and a broadcast to sixteen waiters on several nodes.
 */
#include <pthread.h>
#include <time.h>

#include "behaviour.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition, start = PTHREAD_COND_INITIALIZER;
static int waiting, go, woken;

static void *run(void *unused)
{
    CHECK0(pthread_mutex_lock(&mutex));
    waiting++;
    while (!go)
        CHECK0(pthread_cond_wait(&start, &mutex));
    woken++;
    CHECK0(pthread_mutex_unlock(&mutex));
    return unused;
}

int main(void)
{
    pthread_t threads[16];
    pthread_condattr_t attributes;
    CHECK0(pthread_condattr_init(&attributes));
    CHECK0(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    CHECK0(pthread_cond_init(&condition, &attributes));
    for (int i = 0; i < 16; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    CHECK0(pthread_mutex_lock(&mutex));
    while (waiting < 16) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        CHECK(pthread_cond_timedwait(&condition, &mutex, &until) == ETIMEDOUT);
    }
    struct timespec past = {1, 0};
    CHECK(pthread_cond_clockwait(&start, &mutex, CLOCK_REALTIME, &past) == ETIMEDOUT);
    go = 1;
    CHECK0(pthread_cond_broadcast(&start));
    CHECK0(pthread_mutex_unlock(&mutex));
    for (int i = 0; i < 16; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d\n", woken);
    return 0;
}
