/* A handler that uses vector registers leaves those of the interrupted program alone, wherever it
 * was interrupted. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static _Atomic int hits;
static _Atomic int stop;

static void handler(int signal)
{
    (void)signal;
    __asm__ volatile("pxor %%xmm0, %%xmm0\n\tpxor %%xmm5, %%xmm5\n\tpxor %%xmm15, %%xmm15" ::: "xmm0", "xmm5", "xmm15");
    hits++;
}

static void *run(void *unused)
{
    long bad = 0;
    for (long i = 1; !stop; i++) {
        long first, second, third;
        __asm__ volatile("movq %3, %%xmm0\n\tmovq %3, %%xmm5\n\tmovq %3, %%xmm15\n\tmov $20000, "
                         "%%ecx\n1: dec %%ecx\n\tjnz 1b\n\t"
                         "movq %%xmm0, %0\n\tmovq %%xmm5, %1\n\tmovq %%xmm15, %2"
                         : "=&r"(first), "=&r"(second), "=&r"(third)
                         : "r"(i)
                         : "rcx", "xmm0", "xmm5", "xmm15", "cc");
        bad += first != i || second != i || third != i;
    }
    return unused ? unused : (void *)bad;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t thread;
    void *bad;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 1; i <= 20; i++) {
        if (i % 5 == 0)
            for (int tries = 0; tries < 3; tries++)
                move_thread(gettid(), 0);
        CHECK0(pthread_kill(thread, SIGUSR1));
        while (hits < i)
            usleep(500);
    }
    stop = 1;
    CHECK0(pthread_join(thread, &bad));
    printf("%ld\n", (long)bad);
    return 0;
}
