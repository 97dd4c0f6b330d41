/* A condition variable passes a turn round four threads, wakes all at a broadcast, and gives up in
 * time. */
#include <pthread.h>
#include <time.h>

#include "behaviour.h"

#define THREADS 4
#define TURNS   400

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn, go, started;

static void *run(void *argument)
{
    int own = (int)(long)argument;
    CHECK0(pthread_mutex_lock(&lock));
    started++;
    while (!go)
        CHECK0(pthread_cond_wait(&changed, &lock));
    while (turn < TURNS) {
        if (turn % THREADS == own) {
            turn++;
            CHECK0(pthread_cond_broadcast(&changed));
        } else {
            CHECK0(pthread_cond_wait(&changed, &lock));
        }
    }
    CHECK0(pthread_mutex_unlock(&lock));
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    struct timespec time;
    CHECK0(pthread_mutex_lock(&lock));
    CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0);
    time.tv_nsec += 2000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    CHECK(pthread_cond_timedwait(&changed, &lock, &time) == ETIMEDOUT);
    CHECK0(pthread_mutex_unlock(&lock));
    for (long i = 0; i < THREADS; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    CHECK0(pthread_mutex_lock(&lock));
    go = 1;
    CHECK0(pthread_cond_broadcast(&changed));
    CHECK0(pthread_mutex_unlock(&lock));
    for (int i = 0; i < THREADS; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d turns of %d threads\n", turn, started);
    return 0;
}
