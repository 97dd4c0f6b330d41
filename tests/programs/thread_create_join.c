/* Threads get their argument and give their result; attributes and names are theirs; a detached one
 * ends by itself. */
#include <pthread.h>
#include <semaphore.h>

#include "behaviour.h"

static sem_t ended;

static void *square(void *argument)
{
    long value = (long)argument;
    CHECK(gettid() != getpid());
    return (void *)(value * value);
}

static void *detached(void *argument)
{
    (void)argument;
    CHECK0(sem_post(&ended) ? errno : 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[8];
    long sum = 0;
    for (long i = 0; i < 8; i++)
        CHECK0(pthread_create(&threads[i], NULL, square, (void *)i));
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK0(pthread_join(threads[i], &result));
        sum += (long)result;
    }
    pthread_attr_t attributes;
    CHECK(sem_init(&ended, 0, 0) == 0);
    CHECK0(pthread_attr_init(&attributes));
    CHECK0(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    for (int i = 0; i < 8; i++)
        CHECK0(pthread_create(&threads[i], &attributes, detached, NULL));
    for (int i = 0; i < 8; i++)
        CHECK(sem_wait(&ended) == 0);
    CHECK0(pthread_create(&threads[0], NULL, detached, NULL));
    CHECK0(pthread_detach(threads[0]));
    CHECK(sem_wait(&ended) == 0);
    printf("%ld\n", sum);
    return 0;
}
