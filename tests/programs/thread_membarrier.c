/* membarrier is offered or refused as a whole, and a program that uses it to order its threads is
 * right. */
#include <linux/membarrier.h>
#include <pthread.h>

#include "behaviour.h"

static volatile int flags[2], critical;
static _Atomic long inside;

static void barrier(void)
{
    CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0);
}

static void *quick(void *unused)
{
    for (int i = 0; i < 20000; i++) {
        flags[0] = 1;
        __asm__ volatile("" ::: "memory"); /* the other side has the barrier */
        if (!flags[1]) {
            CHECK(inside++ == 0);
            inside--;
        }
        flags[0] = 0;
    }
    critical = 1;
    return unused;
}

int main(void)
{
    pthread_t thread;
    long offered = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (offered < 0 || !(offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {
        puts("right"); /* refused: then a program does without */
        return 0;
    }
    CHECK0(pthread_create(&thread, NULL, quick, NULL));
    while (!critical) {
        flags[1] = 1;
        barrier();
        if (!flags[0]) {
            CHECK(inside++ == 0);
            inside--;
        }
        flags[1] = 0;
    }
    CHECK0(pthread_join(thread, NULL));
    puts("right");
    return 0;
}
