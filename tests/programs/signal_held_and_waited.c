/* The signals that a session needs itself can be blocked, queued, and opened by the masks of calls that wait. */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "behaviour.h"

static _Atomic int hits, others;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void other_handler(int signal)
{
    (void)signal;
    others++;
}

static void waits(int signal, const char *name)
{
    sigset_t blocked, none;
    struct sigaction action = {.sa_handler = handler};
    const struct timespec second = {.tv_sec = 5};
    struct epoll_event event;
    struct pollfd nothing = {.fd = -1};
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, signal);
    CHECK(sigaction(signal, &action, NULL) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    int epoll = epoll_create1(0);
    for (int way = 0; way < 4; way++) {
        hits = 0;
        CHECK(raise(signal) == 0);
        CHECK(hits == 0);
        long result = way == 0   ? sigsuspend(&none)
                      : way == 1 ? ppoll(&nothing, 1, &second, &none)
                      : way == 2 ? pselect(0, NULL, NULL, NULL, &second, &none)
                                 : epoll_pwait(epoll, &event, 1, 5000, &none);
        CHECK(result == -1 && errno == EINTR && hits == 1);
    }
    /* Sent while it waits. */
    pid_t child = fork(), parent = getppid();
    CHECK(child >= 0);
    if (child == 0) {
        usleep(100000);
        kill(parent == getpid() ? parent : getppid(), signal);
        _exit(0);
    }
    hits = 0;
    CHECK(sigsuspend(&none) == -1 && errno == EINTR && hits == 1);
    close(epoll);
    printf("%s: opened by four calls\n", name);
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

int main(void)
{
    waits(SIGRTMAX, "the last real-time signal");
    waits(SIGFPE, "SIGFPE");
    waits(SIGUSR1, "SIGUSR1");

    /* As many as are sent, and no other signal suffers. */
    sigset_t last;
    struct sigaction action = {.sa_handler = other_handler};
    const struct timespec soon = {.tv_sec = 5};
    sigemptyset(&last);
    sigaddset(&last, SIGRTMAX);
    CHECK(sigprocmask(SIG_BLOCK, &last, NULL) == 0);
    hits = 0;
    for (int i = 0; i < 20; i++)
        CHECK(raise(SIGRTMAX) == 0);
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(raise(SIGUSR2) == 0 && others == 1);
    CHECK(nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL) == 0);
    CHECK(sigtimedwait(&last, NULL, &soon) == SIGRTMAX);
    CHECK(sigprocmask(SIG_UNBLOCK, &last, NULL) == 0);
    CHECK(hits == 19);
    puts("all that were queued");
    return 0;
}
