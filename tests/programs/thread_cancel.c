/* pthread_cancel ends threads that wait in a read, in a condition variable, in nanosleep, and one
 * that only computes. */
#include <pthread.h>
#include <time.h>

#include "behaviour.h"

static int ends[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static volatile int cleanups;
static volatile unsigned long spins;

static void cleanup(void *argument)
{
    if (argument)
        pthread_mutex_unlock(argument);
    cleanups++;
}

static void *in_read(void *argument)
{
    char byte;
    pthread_cleanup_push(cleanup, NULL);
    for (;;)
        CHECK(read(ends[0], &byte, 1) != 0);
    pthread_cleanup_pop(0);
    return argument;
}

static void *in_condition(void *argument)
{
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(cleanup, &lock);
    for (;;)
        pthread_cond_wait(&condition, &lock);
    pthread_cleanup_pop(0);
    return argument;
}

static void *in_sleep(void *argument)
{
    pthread_cleanup_push(cleanup, NULL);
    nanosleep(&(struct timespec){1000, 0}, NULL);
    pthread_cleanup_pop(0);
    return argument;
}

static void *in_loop(void *argument)
{
    int old;
    pthread_cleanup_push(cleanup, NULL);
    CHECK0(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old));
    for (;;)
        spins++;
    pthread_cleanup_pop(0);
    return argument;
}

int main(void)
{
    void *(*const functions[])(void *) = {in_read, in_condition, in_sleep, in_loop};
    CHECK(pipe(ends) == 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) {
            pthread_t thread;
            void *result;
            CHECK0(pthread_create(&thread, NULL, functions[i], NULL));
            usleep(round * 3000);
            CHECK0(pthread_cancel(thread));
            CHECK0(pthread_join(thread, &result));
            CHECK(result == PTHREAD_CANCELED);
        }
    }
    /* A thread that was cancelled before it pushed its handler runs none: only those of the later
     * rounds are sure. */
    CHECK(cleanups >= 4);
    puts("cancelled");
    return 0;
}
