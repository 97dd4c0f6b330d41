/* Compute-bound, four threads that share nothing: each runs the same number of steps. compute
 * [STEPS_IN_MILLIONS] */
#include <pthread.h>

#include "median.h"

#define THREADS 4

static uint64_t steps;

static void *compute(void *argument)
{
    uint64_t x = *(uint64_t *)argument;
    double y = 0;
    for (uint64_t i = 0; i < steps; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        y += (double)(x >> 40) * 0x1p-24;
    }
    *(uint64_t *)argument = x + (uint64_t)y;
    return NULL;
}

int main(int argc, char **argv)
{
    steps = (argc > 1 ? strtoull(argv[1], NULL, 10) : 300) * 1000000;
    pthread_t threads[THREADS];
    uint64_t values[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        values[i] = i + 88172645463325252u;
        check(pthread_create(&threads[i], NULL, compute, &values[i]) == 0, "pthread_create");
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++)
        printf("%016llx\n", (unsigned long long)values[i]);
    return 0;
}
