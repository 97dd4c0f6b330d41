/* timer_create: by signal to the process, to one thread, and by a function in a thread of its own.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "behaviour.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static sem_t done;
static _Atomic int to_process, to_thread, in_thread, wrong;
static _Atomic int wanted;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code != SI_TIMER || info->si_value.sival_int != 7)
        wrong++;
    if (signal == SIGUSR1)
        to_process++;
    else if (gettid() != wanted)
        wrong++;
    else
        to_thread++;
}

static void notify(union sigval value)
{
    if (value.sival_int == 7 && ++in_thread == 3)
        sem_post(&done);
}

static timer_t start(struct sigevent *event, long every_ns)
{
    timer_t timer;
    struct itimerspec when = {.it_value = {0, every_ns}, .it_interval = {0, every_ns}};
    event->sigev_value.sival_int = 7;
    CHECK(timer_create(CLOCK_MONOTONIC, event, &timer) == 0 && timer_settime(timer, 0, &when, NULL) == 0);
    return timer;
}

static void *run(void *unused)
{
    wanted = gettid();
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    event.sigev_notify_thread_id = gettid();
    timer_t timer = start(&event, 10000000);
    while (to_thread < 3)
        __asm__ volatile("pause");
    CHECK(timer_delete(timer) == 0 && timer_delete(timer) == -1 && errno == EINVAL);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t thread;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0 &&
          sem_init(&done, 0, 0) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t timer = start(&event, 10000000);
    while (to_process < 3)
        usleep(1000);
    CHECK(timer_delete(timer) == 0);
    CHECK0(pthread_join(thread, NULL));
    event = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify};
    timer = start(&event, 10000000);
    while (sem_wait(&done) != 0)
        CHECK(errno == EINTR);
    CHECK(timer_delete(timer) == 0);
    printf("wrong: %d\n", wrong);
    return 0;
}
