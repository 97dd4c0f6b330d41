/* exit in a thread on another node ends the program: handlers of atexit run there, streams are
 * written. */
#include <pthread.h>

#include "behaviour.h"

static void at_end(void)
{
    printf("at the end\n");
}

static void *run(void *unused)
{
    printf("not flushed yet, ");
    exit(7);
    return unused;
}

static void *spin(void *unused)
{
    for (;;)
        __asm__ volatile("pause");
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK(atexit(at_end) == 0);
    CHECK0(pthread_create(&thread, NULL, spin, NULL));
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
