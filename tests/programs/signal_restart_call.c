/* A read that a handler interrupts goes on with SA_RESTART and gives EINTR without; from a thread
 * on another node, too. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static int ends[2];
static _Atomic int hits, ready;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void *run(void *unused)
{
    char byte;
    ready = 1;
    ssize_t got = read(ends[0], &byte, 1);
    printf("with SA_RESTART: %zd %c\n", got, byte);
    ready = 2;
    got = read(ends[0], &byte, 1);
    printf("without: %zd %s\n", got, strerrorname_np(errno));
    ready = 3;
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    CHECK(pipe(ends) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    action.sa_flags = 0;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    while (ready < 1)
        usleep(1000);
    usleep(20000);
    for (int i = 1; i <= 3; i++) {
        CHECK0(pthread_kill(thread, SIGUSR1));
        while (hits < i)
            usleep(1000);
        usleep(5000);
    }
    CHECK(write(ends[1], "x", 1) == 1);
    while (ready < 2)
        usleep(1000);
    while (ready == 2) { /* until it is in the call */
        CHECK0(pthread_kill(thread, SIGUSR2));
        usleep(10000);
    }
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
