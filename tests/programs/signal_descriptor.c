/* signalfd: signals are read by a thread on another node and wake its poll. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "behaviour.h"

static int descriptor;
static _Atomic int taken;

static void *run(void *unused)
{
    for (int i = 0; i < 5; i++) {
        struct pollfd wait = {descriptor, POLLIN, 0};
        struct signalfd_siginfo info;
        CHECK(poll(&wait, 1, -1) == 1 && wait.revents == POLLIN);
        CHECK(read(descriptor, &info, sizeof info) == sizeof info);
        CHECK((pid_t)info.ssi_pid == getpid());
        printf("%s %d\n", info.ssi_signo == (unsigned)SIGRTMIN ? "RTMIN" : "USR1", (int)info.ssi_int);
        taken++;
    }
    return unused;
}

int main(void)
{
    sigset_t set;
    pthread_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    CHECK0(pthread_sigmask(SIG_BLOCK, &set, NULL));
    descriptor = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(descriptor >= 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < 4; i++) {
        union sigval value = {.sival_int = i};
        CHECK(sigqueue(getpid(), SIGRTMIN, value) == 0);
    }
    while (taken < 4)
        usleep(1000);
    usleep(10000);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
