/* Semaphores, unnamed and named: counts, timeouts, hand-overs between threads on several nodes. */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "behaviour.h"

static sem_t ring[3], *named;
static int sum;

static void *run(void *argument)
{
    int own = (int)(long)argument;
    for (int i = 0; i < 100; i++) {
        CHECK(sem_wait(&ring[own]) == 0);
        sum++;
        CHECK(sem_post(&ring[(own + 1) % 3]) == 0);
    }
    CHECK(sem_post(named) == 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    char name[32];
    int value;
    snprintf(name, sizeof name, "/behaviour-%d", getpid());
    named = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    CHECK(named != SEM_FAILED && sem_unlink(name) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(sem_init(&ring[i], 0, i == 0) == 0);
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++) {
        CHECK(sem_wait(named) == 0);
        CHECK0(pthread_join(threads[i], NULL));
    }
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    CHECK(sem_clockwait(named, CLOCK_MONOTONIC, &soon) == -1 && errno == ETIMEDOUT && sem_trywait(named) == -1 &&
          errno == EAGAIN);
    CHECK(sem_getvalue(&ring[0], &value) == 0);
    printf("%d %d\n", sum, value);
    return 0;
}
