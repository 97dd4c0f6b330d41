/* Hundreds of queued signals to threads that compute on other nodes: none is lost, none comes
 * twice. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

#define SIGNALS 100

static _Atomic int hits[2], sum;
static _Atomic int stop, ready;
static _Thread_local int own;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    hits[own]++;
    sum += info->si_value.sival_int;
}

static void *run(void *argument)
{
    own = (int)(long)argument;
    ready++;
    while (!stop)
        __asm__ volatile("pause");
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t threads[2];
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    while (ready < 2)
        usleep(1000);
    for (int i = 0; i < 2 * SIGNALS; i++) {
        union sigval value = {.sival_int = i};
        CHECK0(pthread_sigqueue(threads[i % 2], SIGRTMIN, value));
    }
    while (hits[0] + hits[1] < 2 * SIGNALS)
        usleep(1000);
    stop = 1;
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d %d %d\n", hits[0], hits[1], sum);
    return 0;
}
