/* O_ASYNC with F_SETSIG: the kernel tells a thread on another node that its descriptor is ready. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "behaviour.h"

static volatile int told, band, descriptor;
static _Atomic int ready;
static int ends[2];

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    descriptor = info->si_fd;
    band = (int)info->si_band;
    told = gettid();
}

static void *run(void *unused)
{
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    CHECK(fcntl(ends[0], F_SETOWN_EX, &owner) == 0 && fcntl(ends[0], F_SETSIG, SIGRTMIN) == 0);
    CHECK(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
    ready = 1;
    while (!told)
        __asm__ volatile("pause");
    CHECK(told == gettid() && descriptor == ends[0] && band & POLLIN);
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x' && read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    while (!ready)
        usleep(1000);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK0(pthread_join(thread, NULL));
    puts("told");
    return 0;
}
