/*
 * False sharing: four threads on three nodes increment a counter each, all of them in one page, for two seconds. Prints
 * the increments a second of all threads, and the increments of the thread that made fewest and of the one that made
 * most.
 */
#include <pthread.h>

#include "place.h"

#define THREADS 4u
#define NODES   3u
#define RUN_US  2000000u

struct counter {
    volatile uint64_t value;
    uint64_t own_line[7]; /* processors are not to share lines as well */
};

static struct counter counters[THREADS] __attribute__((aligned(4096)));
static volatile int stop __attribute__((aligned(4096)));
static pthread_barrier_t barrier __attribute__((aligned(4096)));

/* The second node has two threads: where three nodes have two processors, each of these has two threads. */
static void *incrementer(void *argument)
{
    struct counter *counter = argument;
    uint64_t made = 0;
    node_enter((unsigned)(counter - counters + 1) % NODES, NODES);
    pthread_barrier_wait(&barrier);
    for (; !stop; made++)
        counter->value++;
    if (counter->value != made) {
        fprintf(stderr, "counters: increments were lost\n");
        exit(1);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++)
        check(pthread_create(&threads[i], NULL, incrementer, &counters[i]) == 0, "pthread_create");
    pthread_barrier_wait(&barrier);
    uint64_t start = now_ns();
    sleep_us(RUN_US);
    stop = 1;
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t ns = now_ns() - start;
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t made = counters[i].value;
        sum += made;
        least = made < least ? made : least;
        most = made > most ? made : most;
    }
    printf("%.1f %lu %lu\n", (double)sum * 1e9 / (double)ns, (unsigned long)least, (unsigned long)most);
    return 0;
}
