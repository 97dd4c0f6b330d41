/*
 * A mutex that two threads on two nodes want all the time. It goes over when the other thread than the last has it;
 * whoever has it may take it again first. Ends after so many hand-overs or after five seconds. Prints the nanoseconds
 * from one hand-over to the next, mean, and how often the thread that had it less and the one that had it more had it.
 * Usage: mutex [HAND_OVERS]
 */
#include <pthread.h>

#include "place.h"

#define WARM   100u
#define RUN_NS 5000000000ull

static struct {
    pthread_mutex_t mutex;
    unsigned last, handed, wanted;
    uint64_t turns[2];
    uint64_t start, end;
} lock __attribute__((aligned(4096))) = {.mutex = PTHREAD_MUTEX_INITIALIZER};
static pthread_barrier_t barrier __attribute__((aligned(4096)));

/* With the mutex: false when it is time to end. */
static int turn_take(unsigned thread)
{
    if (lock.handed == lock.wanted)
        return 0;
    lock.turns[thread]++;
    int handed = lock.last != thread;
    if (!handed && lock.turns[thread] % 1024 != 0)
        return 1;
    uint64_t now = now_ns();
    lock.last = thread;
    lock.handed += (unsigned)handed;
    if (handed && lock.handed == WARM)
        lock.start = now;
    lock.end = now;
    if (now - lock.start > RUN_NS)
        lock.wanted = lock.handed;
    return 1;
}

static void *taker(void *argument)
{
    unsigned thread = argument != NULL;
    node_enter(thread, 2);
    pthread_barrier_wait(&barrier);
    for (int more = 1; more;) {
        pthread_mutex_lock(&lock.mutex);
        more = turn_take(thread);
        pthread_mutex_unlock(&lock.mutex);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[2];
    lock.wanted = (argc > 1 ? (unsigned)atoi(argv[1]) : 10000) + WARM;
    lock.start = now_ns();
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i], NULL, taker, i ? &lock : NULL) == 0, "pthread_create");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    if (lock.handed <= WARM) {
        fprintf(stderr, "mutex: handed over %u times only, after %lu and %lu turns\n", lock.handed,
                (unsigned long)lock.turns[0], (unsigned long)lock.turns[1]);
        return 1;
    }
    unsigned less = lock.turns[1] < lock.turns[0];
    printf("%.1f %lu %lu\n", (double)(lock.end - lock.start) / (lock.handed - WARM), (unsigned long)lock.turns[less],
           (unsigned long)lock.turns[!less]);
    return 0;
}
