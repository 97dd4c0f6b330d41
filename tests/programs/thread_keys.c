/* Thread-specific data: destructors run in each thread, again while they set values; pthread_once
 * runs once. */
#include <pthread.h>

#include "behaviour.h"

static pthread_key_t keys[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int destroyed[2], onces;

static void destroy_first(void *value)
{
    destroyed[0]++;
    if ((long)value < 3)
        pthread_setspecific(keys[0], (void *)((long)value + 1));
}

static void destroy_second(void *value)
{
    CHECK((long)value == gettid());
    destroyed[1]++;
}

static void run_once(void)
{
    usleep(10000);
    onces++;
}

static void *run(void *unused)
{
    CHECK0(pthread_once(&once, run_once));
    CHECK(onces == 1 && pthread_getspecific(keys[0]) == NULL);
    CHECK0(pthread_setspecific(keys[0], (void *)1));
    CHECK0(pthread_setspecific(keys[1], (void *)(long)gettid()));
    return unused;
}

int main(void)
{
    pthread_t threads[6];
    CHECK0(pthread_key_create(&keys[0], destroy_first));
    CHECK0(pthread_key_create(&keys[1], destroy_second));
    for (int i = 0; i < 6; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 6; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d %d %d\n", destroyed[0], destroyed[1], onces);
    return 0;
}
