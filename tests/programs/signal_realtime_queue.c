/* Queued real-time signals come once each, lowest number first and in the order sent, with their
 * values. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static struct {
    int signal, value, code;
} seen[16];
static volatile int count;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen[count].signal = signal - SIGRTMIN;
    seen[count].code = info->si_code;
    seen[count++].value = info->si_value.sival_int;
}

static void *run(void *unused)
{
    sigset_t set;
    sigfillset(&set);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 12; i++) {
        union sigval value = {.sival_int = i};
        CHECK0(pthread_sigqueue(pthread_self(), SIGRTMIN + 2 - i % 3, value));
    }
    CHECK(count == 0);
    CHECK0(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask); /* one at a time */
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        CHECK(sigaction(SIGRTMIN + i, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    for (int i = 0; i < count; i++)
        printf("%d %d %d\n", seen[i].signal, seen[i].value, seen[i].code == SI_QUEUE);
    return 0;
}
