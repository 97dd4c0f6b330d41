/*
 * Four threads, a mutex, a condition variable, a barrier and thread-local storage; output is the
 * same on every run. Built three times: static with glibc, static with musl and dynamic with musl.
 * Not for single behaviours.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS  200
#define WORDS   (64 * 1024)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static unsigned turn;
static uint64_t words[THREADS][WORDS];
static uint64_t chain;
static _Thread_local uint64_t own;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= 0x7fb5d329728ea185u;
    x ^= x >> 27;
    return x * 0x81dadef4bc2dd44du;
}

static void *work(void *argument)
{
    unsigned me = (unsigned)(uintptr_t)argument;
    for (unsigned i = 0; i < WORDS; i++)
        words[me][i] = mix(i + me * 1000003u + 1);
    pthread_barrier_wait(&barrier);
    /* Everyone reads what everyone wrote. */
    for (unsigned other = 0; other < THREADS; other++)
        for (unsigned i = 0; i < WORDS; i++)
            own = mix(own ^ words[other][i]);
    /* In turn, so that the result depends on the order and the order is known. */
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&lock);
        while (turn % THREADS != me)
            pthread_cond_wait(&turn_changed, &lock);
        chain = mix(chain ^ own ^ me);
        turn++;
        pthread_cond_broadcast(&turn_changed);
        pthread_mutex_unlock(&lock);
    }
    uint64_t *result = malloc(sizeof *result);
    if (!result)
        abort();
    *result = own;
    return result;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) != 0)
            return 1;
    for (unsigned i = 0; i < THREADS; i++) {
        void *result;
        if (pthread_join(threads[i], &result) != 0)
            return 1;
        printf("thread %u %016llx\n", i, (unsigned long long)*(uint64_t *)result);
        free(result);
    }
    printf("chain %016llx\n", (unsigned long long)chain);
    return 0;
}
