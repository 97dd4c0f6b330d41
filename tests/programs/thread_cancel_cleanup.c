/* Cancellation, deferred and asynchronous: handlers run in reverse order, in a call and in a
 * computation on another node. */
#include <pthread.h>
#include <semaphore.h>

#include "behaviour.h"

static char order[16];
static sem_t ready;
static int ends[2];

static void clean(void *what)
{
    strcat(order, what);
}

static void *in_call(void *unused)
{
    char byte;
    pthread_cleanup_push(clean, "a");
    pthread_cleanup_push(clean, "b");
    sem_post(&ready);
    CHECK(read(ends[0], &byte, 1) == 1);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return unused;
}

static void *in_loop(void *unused)
{
    pthread_cleanup_push(clean, "c");
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    for (;;)
        __asm__ volatile("pause");
    pthread_cleanup_pop(0);
    return unused;
}

static void *protected(void *unused)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    sem_post(&ready);
    usleep(30000);
    strcat(order, "d");
    pthread_cleanup_push(clean, "e");
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    return unused;
}

int main(void)
{
    void *(*const kinds[])(void *) = {in_call, in_loop, protected};
    sem_init(&ready, 0, 0);
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        void *result;
        CHECK0(pthread_create(&thread, NULL, kinds[i], NULL));
        while (sem_wait(&ready) != 0)
            ;
        usleep(5000);
        CHECK0(pthread_cancel(thread));
        CHECK0(pthread_join(thread, &result));
        CHECK(result == PTHREAD_CANCELED);
    }
    puts(order);
    return 0;
}
