/* Signals hit a thread that makes one call after the other, before, in and after them: no register of its own changes.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "behaviour.h"

enum { SIGNALS = 300 };

static _Atomic int handled;
static _Atomic int stop;

static void handler(int signal)
{
    (void)signal;
    handled++;
}

/* A call with everything that it keeps set to a pattern: what is different afterwards, as bits. */
static uint64_t call_with_pattern(uint64_t pattern)
{
    uint64_t changed = 0, vector[2] = {pattern, ~pattern}, seen[2], result;
    __asm__ volatile("movdqu %[vector], %%xmm3\n\t"
                     "movdqa %%xmm3, %%xmm15\n\t"
                     "mov %[pattern], %%r8\n\t"
                     "mov %[pattern], %%r9\n\t"
                     "mov %[pattern], %%r10\n\t"
                     "mov %[pattern], %%rdx\n\t"
                     "mov %[number], %%eax\n\t"
                     "syscall\n\t"
                     "mov %%rax, %[result]\n\t"
                     "xor %[pattern], %%r8\n\t"
                     "xor %[pattern], %%r9\n\t"
                     "xor %[pattern], %%r10\n\t"
                     "xor %[pattern], %%rdx\n\t"
                     "or %%r8, %%rdx\n\t"
                     "or %%r9, %%rdx\n\t"
                     "or %%r10, %%rdx\n\t"
                     "mov %%rdx, %[changed]\n\t"
                     "pxor %%xmm15, %%xmm3\n\t"
                     "movdqu %%xmm3, %[seen]"
                     : [changed] "=m"(changed), [seen] "=m"(seen), [result] "=&r"(result)
                     : [vector] "m"(vector), [pattern] "r"(pattern), [number] "i"(SYS_getppid)
                     : "rax", "rcx", "r11", "rdx", "r8", "r9", "r10", "xmm3", "xmm15", "memory");
    CHECK((pid_t)result == getppid());
    return changed | seen[0] | seen[1];
}

static void *caller(void *argument)
{
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET((int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
    for (uint64_t round = 1; !stop; round++) {
        if (round % 64 == 0) /* signals have brought it elsewhere meanwhile */
            sched_setaffinity(0, sizeof last, &last);
        CHECK(call_with_pattern(round * 0x9e3779b97f4a7c15u) == 0);
    }
    return argument;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, caller, NULL));
    for (int i = 0; i < SIGNALS; i++) {
        int before = handled;
        CHECK0(pthread_kill(thread, SIGUSR1));
        usleep(200);
        while (handled == before)
            sched_yield();
    }
    stop = 1;
    CHECK0(pthread_join(thread, NULL));
    printf("%d signals\n", handled);
    return 0;
}
