/* Four threads under a mutex: plain, recursive, error-checking, with priority inheritance. */
#include <pthread.h>

#include "behaviour.h"

#define ROUNDS 3000

static pthread_mutex_t lock;
static long counter;
static int depth;

static void *add(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < depth; j++)
            CHECK0(pthread_mutex_lock(&lock));
        counter++;
        for (int j = 0; j < depth; j++)
            CHECK0(pthread_mutex_unlock(&lock));
    }
    return argument;
}

static void lock_use(int type, int protocol, int levels)
{
    pthread_mutexattr_t attributes;
    pthread_t threads[4];
    CHECK0(pthread_mutexattr_init(&attributes));
    CHECK0(pthread_mutexattr_settype(&attributes, type));
    CHECK0(pthread_mutexattr_setprotocol(&attributes, protocol));
    CHECK0(pthread_mutex_init(&lock, &attributes));
    counter = 0;
    depth = levels;
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, add, NULL));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK0(pthread_mutex_destroy(&lock));
    printf("%ld\n", counter);
}

int main(void)
{
    lock_use(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, 1);
    lock_use(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, 2);
    lock_use(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 1);
    lock_use(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 1);
    return 0;
}
