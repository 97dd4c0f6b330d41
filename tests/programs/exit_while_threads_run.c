/* The program ends while its threads run: none of them sees memory that is not as it was written,
 * to the last moment. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "behaviour.h"

#define THREADS    6
#define PAGES      64
#define PAGE_LONGS 512
#define MAGIC      0x5ca1ab1e00000000ul
#define RUN_MS     200

/* Every page holds the magic number beside a count, for each thread one. */
static _Atomic unsigned long memory[PAGES][PAGE_LONGS] __attribute__((aligned(4096)));

static void *run(void *argument)
{
    long self = (long)argument;
    unsigned long count = 0;
    for (unsigned page = (unsigned)self;; page = (page + 7) % PAGES) {
        unsigned long seen = memory[page][0];
        if (seen != MAGIC)
            __builtin_trap(); /* not _exit: the first one to end the program decides its status */
        memory[page][1 + self] = ++count;
        if (memory[page][1 + self] != count)
            __builtin_trap();
    }
    return NULL;
}

int main(void)
{
    for (int page = 0; page < PAGES; page++)
        memory[page][0] = MAGIC;
    for (long i = 0; i < THREADS; i++) {
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, run, (void *)i));
    }
    const struct timespec pause = {.tv_nsec = RUN_MS * 1000000l};
    CHECK(nanosleep(&pause, NULL) == 0);
    printf("done\n");
    return 0;
}
