/* A handler begins with the vector state of a new program, whatever it interrupts, and leaves the interrupted one
 * alone. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include "behaviour.h"

static volatile uint32_t seen_mxcsr;
static volatile uint16_t seen_control;
static volatile long double seen_product;
static _Atomic int hits, ready;

static void handler(int signal)
{
    uint32_t mxcsr;
    uint16_t control;
    (void)signal;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(control));
    volatile long double a = 1.5L, b = 2.25L;
    seen_product = a * b; /* not a number, where eight registers of the x87 are in use */
    seen_mxcsr = mxcsr;
    seen_control = control;
    hits++;
}

static void *run(void *how)
{
    /* Round towards zero, denormals are zero, the x87 full and in single precision. */
    uint32_t odd = 0x1f80 | 0x8040 | 0x6000, mxcsr;
    uint16_t odd_control = 0x0c7f, control;
    int before = hits;
    __asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(odd), "m"(odd_control));
    __asm__ volatile("fld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1");
    ready = 1;
    while (hits == before)
        if (how)
            raw_call(SYS_rt_sigprocmask, SIG_BLOCK, 0, 0, 8, 0, 0);
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1\n\tfninit" : "=m"(mxcsr), "=m"(control));
    odd = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(odd));
    CHECK((mxcsr & 0xe040) == 0xe040);
    CHECK(control == odd_control);
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        ready = 0;
        CHECK0(pthread_create(&thread, NULL, run, i % 2 ? &thread : NULL));
        while (!ready)
            usleep(1000);
        CHECK0(pthread_kill(thread, SIGUSR1));
        CHECK0(pthread_join(thread, NULL));
        CHECK(seen_mxcsr == 0x1f80 && seen_control == 0x37f && seen_product == 3.375L);
    }
    puts("initial in the handler, as it was after it");
    return 0;
}
