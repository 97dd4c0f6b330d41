/* Threads that handled signals are counted where they are: new ones still go to other nodes,
 * hundreds of signals later. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static volatile sig_atomic_t hits;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void *run(void *unused)
{
    for (int i = 0; i < 20; i++) {
        move_thread(gettid(), 1);
        CHECK(raise(SIGUSR1) == 0);
    }
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        CHECK0(pthread_join(thread, NULL));
    }
    printf("%d\n", (int)hits);
    return 0;
}
