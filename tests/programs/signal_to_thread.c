/* pthread_kill runs the handler in the thread it names, whether that computes or waits; the mask of
 * each is its own. */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "behaviour.h"

static _Thread_local volatile int hits;
static volatile pid_t handled_by;
static sem_t ready, handled;
static volatile int stop;

static void handler(int signal)
{
    (void)signal;
    hits++;
    handled_by = gettid();
    sem_post(&handled);
}

static volatile pid_t identities[2];

static void *compute(void *argument)
{
    (void)argument;
    identities[0] = gettid();
    sem_post(&ready);
    while (!stop)
        __asm__ volatile("pause");
    return (void *)(long)hits;
}

static void *wait_for(void *argument)
{
    sigset_t none;
    (void)argument;
    sigemptyset(&none);
    identities[1] = gettid();
    sem_post(&ready);
    while (!stop)
        CHECK(sigsuspend(&none) == -1 && errno == EINTR);
    return (void *)(long)hits;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t set;
    pthread_t threads[2];
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sem_init(&ready, 0, 0) == 0 && sem_init(&handled, 0, 0) == 0);
    CHECK0(pthread_create(&threads[0], NULL, compute, NULL));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK0(pthread_create(&threads[1], NULL, wait_for, NULL)); /* blocked there but in sigsuspend */
    CHECK(sem_wait(&ready) == 0 && sem_wait(&ready) == 0);
    for (int i = 0; i < 20; i++) {
        CHECK0(pthread_kill(threads[i % 2], SIGUSR1));
        while (sem_wait(&handled) != 0)
            CHECK(errno == EINTR);
        CHECK(handled_by == identities[i % 2]);
    }
    CHECK(pthread_kill(threads[0], 0) == 0 && hits == 0);
    stop = 1;
    CHECK0(pthread_kill(threads[1], SIGUSR1));
    void *first, *second;
    CHECK0(pthread_join(threads[0], &first));
    CHECK0(pthread_join(threads[1], &second));
    CHECK((long)first == 10 && (long)second >= 10); /* the last one may have come too late for a handler */
    puts("10 each");
    return 0;
}
