/* A barrier holds four threads until all have come, round after round; one of them is told so. */
#include <pthread.h>
#include <stdatomic.h>

#include "behaviour.h"

#define THREADS 4
#define ROUNDS  100

static pthread_barrier_t barrier;
static int values[THREADS];
static _Atomic int serial;

static void *run(void *argument)
{
    int own = (int)(long)argument;
    for (int i = 1; i <= ROUNDS; i++) {
        values[own] = i;
        int result = pthread_barrier_wait(&barrier);
        CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        serial += result == PTHREAD_BARRIER_SERIAL_THREAD;
        for (int j = 0; j < THREADS; j++)
            CHECK(values[j] == i);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    CHECK0(pthread_barrier_init(&barrier, NULL, THREADS));
    for (long i = 0; i < THREADS; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < THREADS; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d\n", serial);
    return 0;
}
