/* sigwaitinfo takes signals sent by threads on other nodes and by processes, with who sent them and
 * their values. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static pthread_t waiter;

static void *send_all(void *unused)
{
    union sigval value = {.sival_int = 11};
    CHECK0(pthread_sigqueue(waiter, SIGUSR1, value));
    CHECK0(pthread_kill(waiter, SIGUSR2));
    value.sival_int = 12;
    CHECK(sigqueue(getpid(), SIGRTMIN, value) == 0);
    return unused;
}

static void take(const sigset_t *set)
{
    siginfo_t info;
    int signal = sigwaitinfo(set, &info);
    printf("%s from %s, code %d, value %d\n", signal >= SIGRTMIN ? "RT" : sigabbrev_np(signal),
           info.si_pid == getpid() ? "itself" : "a child", info.si_code,
           info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}

int main(void)
{
    pthread_t thread;
    sigset_t set;
    struct timespec zero = {0};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN);
    waiter = pthread_self();
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    CHECK0(pthread_create(&thread, NULL, send_all, NULL));
    CHECK0(pthread_join(thread, NULL));
    for (int i = 0; i < 3; i++)
        take(&set);
    pid_t child = fork();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    take(&set);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(sigtimedwait(&set, NULL, &zero) == -1 && errno == EAGAIN);
    return 0;
}
