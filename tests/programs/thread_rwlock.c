/* A read-write lock: readers see no half of what a writer does, and share it with each other. */
#include <pthread.h>

#include "behaviour.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t both;
static long pair[2];

static void *write_pair(void *argument)
{
    for (int i = 0; i < 500; i++) {
        CHECK0(pthread_rwlock_wrlock(&lock));
        pair[0]++;
        if (i % 50 == 0)
            sched_yield();
        pair[1]++;
        CHECK0(pthread_rwlock_unlock(&lock));
    }
    return argument;
}

static void *read_pair(void *argument)
{
    CHECK0(pthread_rwlock_rdlock(&lock));
    pthread_barrier_wait(&both); /* both readers are in */
    CHECK0(pthread_rwlock_unlock(&lock));
    for (int i = 0; i < 500; i++) {
        CHECK0(pthread_rwlock_rdlock(&lock));
        CHECK(pair[0] == pair[1]);
        CHECK0(pthread_rwlock_unlock(&lock));
    }
    return argument;
}

int main(void)
{
    pthread_t threads[4];
    CHECK0(pthread_barrier_init(&both, NULL, 2));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, read_pair, NULL));
    for (int i = 2; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, write_pair, NULL));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(pthread_rwlock_trywrlock(&lock) == 0 && pthread_rwlock_tryrdlock(&lock) == EBUSY);
    printf("%ld %ld\n", pair[0], pair[1]);
    return 0;
}
