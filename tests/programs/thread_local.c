/* Each thread has its own thread-local variables, initialised, aligned, and its own errno. */
#include <pthread.h>
#include <stdint.h>

#include "behaviour.h"

static _Thread_local int initialised = 42;
static _Thread_local char zeroed[5000];
static _Thread_local long aligned __attribute__((aligned(64))) = 7;
static pthread_key_t key;
static volatile int destroyed;

static void destroy(void *value)
{
    CHECK(*(int *)value == 43 + (int)aligned - 7);
    __sync_fetch_and_add(&destroyed, 1);
}

static void *use(void *argument)
{
    int number = (int)(long)argument;
    CHECK(initialised == 42 && aligned == 7 && ((uintptr_t)&aligned & 63) == 0);
    for (unsigned i = 0; i < sizeof zeroed; i++)
        CHECK(zeroed[i] == 0);
    initialised += number;
    aligned += number - 1;
    memset(zeroed, number, sizeof zeroed);
    CHECK0(pthread_setspecific(key, &initialised));
    for (int i = 0; i < 100; i++) {
        errno = number;
        CHECK(number % 2 == 0 || (close(-1) == -1 && errno == EBADF));
        if (number % 2 == 0)
            CHECK(errno == number);
        sched_yield();
        CHECK(initialised == 42 + number && zeroed[i * 50] == number);
    }
    CHECK(pthread_getspecific(key) == &initialised);
    return &initialised;
}

int main(void)
{
    pthread_t threads[6];
    CHECK0(pthread_key_create(&key, destroy));
    for (long i = 0; i < 6; i++)
        CHECK0(pthread_create(&threads[i], NULL, use, (void *)(i + 1)));
    for (int i = 0; i < 6; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(initialised == 42 && zeroed[0] == 0 && destroyed == 6);
    printf("%d\n", destroyed);
    return 0;
}
