/* Mutexes with priority inheritance between threads on several nodes, with conditions, and one
 * whose owner died. */
#include <pthread.h>

#include "behaviour.h"

static pthread_mutex_t mutex, robust;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;
static int turn;

static void make(pthread_mutex_t *one, int robustness)
{
    pthread_mutexattr_t attributes;
    CHECK0(pthread_mutexattr_init(&attributes));
    CHECK0(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
    CHECK0(pthread_mutexattr_setrobust(&attributes, robustness));
    CHECK0(pthread_mutex_init(one, &attributes));
}

static void *run(void *argument)
{
    for (int i = 0; i < 300; i++) {
        CHECK0(pthread_mutex_lock(&mutex));
        counter++;
        CHECK0(pthread_mutex_unlock(&mutex));
    }
    for (int i = 0; i < 20; i++) {
        CHECK0(pthread_mutex_lock(&mutex));
        while (turn % 3 != (int)(long)argument)
            CHECK0(pthread_cond_wait(&condition, &mutex));
        turn++;
        CHECK0(pthread_cond_broadcast(&condition));
        CHECK0(pthread_mutex_unlock(&mutex));
    }
    return NULL;
}

static void *die(void *unused)
{
    CHECK0(pthread_mutex_lock(&robust));
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    make(&mutex, PTHREAD_MUTEX_STALLED);
    make(&robust, PTHREAD_MUTEX_ROBUST);
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK0(pthread_create(&threads[0], NULL, die, NULL));
    CHECK0(pthread_join(threads[0], NULL));
    CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
    CHECK0(pthread_mutex_consistent(&robust));
    CHECK0(pthread_mutex_unlock(&robust));
    printf("%ld %d\n", counter, turn);
    return 0;
}
