/* siglongjmp out of a handler for a fault, and out of one for a sent signal, on any node; the mask
 * is restored. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#include "behaviour.h"

static _Thread_local sigjmp_buf jump;

static void handler(int signal)
{
    siglongjmp(jump, signal);
}

static void *run(void *unused)
{
    sigset_t now;
    for (volatile int i = 0; i < 10; i++) {
        int signal = sigsetjmp(jump, 1);
        if (signal == 0) {
            if (i % 2)
                raise(SIGUSR1);
            else
                *nowhere() = 1;
            CHECK(0);
        }
        CHECK(signal == (i % 2 ? SIGUSR1 : SIGSEGV));
        CHECK0(pthread_sigmask(SIG_BLOCK, NULL, &now));
        CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGSEGV));
    }
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t threads[2];
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    puts("jumped");
    return 0;
}
