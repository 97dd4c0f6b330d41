/* Two producers and two consumers over a ring with two semaphores: every item arrives once. */
#include <pthread.h>
#include <semaphore.h>

#include "behaviour.h"

#define ITEMS 1000
#define RING  16

static int ring[RING];
static unsigned head, tail;
static sem_t space, items;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long sum;
static int seen[2 * ITEMS];

static void *produce(void *argument)
{
    for (int i = 0; i < ITEMS; i++) {
        CHECK(sem_wait(&space) == 0);
        CHECK0(pthread_mutex_lock(&lock));
        ring[head++ % RING] = (int)(long)argument * ITEMS + i;
        CHECK0(pthread_mutex_unlock(&lock));
        CHECK(sem_post(&items) == 0);
    }
    return NULL;
}

static void *consume(void *argument)
{
    for (int i = 0; i < ITEMS; i++) {
        CHECK(sem_wait(&items) == 0);
        CHECK0(pthread_mutex_lock(&lock));
        int item = ring[tail++ % RING];
        seen[item]++;
        sum += item;
        CHECK0(pthread_mutex_unlock(&lock));
        CHECK(sem_post(&space) == 0);
    }
    return argument;
}

int main(void)
{
    pthread_t threads[4];
    CHECK(sem_init(&space, 0, RING) == 0 && sem_init(&items, 0, 0) == 0);
    for (long i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, i < 2 ? produce : consume, (void *)i));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    for (int i = 0; i < 2 * ITEMS; i++)
        CHECK(seen[i] == 1);
    printf("%ld\n", sum);
    return 0;
}
