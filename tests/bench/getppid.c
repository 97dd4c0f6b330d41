/*
 * The cost of one system call, in nanoseconds, the median.
 * Usage: getppid [HOW], where HOW is one of
 * - nothing: in the main thread, over blocks of calls
 * - thread: in a thread that was created, which ld-span places on a peer, each call alone
 * - paced: as thread, with two milliseconds of sleep before each call
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "median.h"

static void blocks_measure(void)
{
    enum { BLOCKS = 50, CALLS = 2000 };
    static uint64_t times[BLOCKS];
    for (int call = 0; call < CALLS; call++)
        getppid(); /* the site gets patched, caches get warm */
    for (int block = 0; block < BLOCKS; block++) {
        uint64_t start = now_ns();
        for (int call = 0; call < CALLS; call++)
            getppid();
        times[block] = now_ns() - start;
    }
    printf("%.1f\n", (double)median(times, BLOCKS) / CALLS);
}

static void *calls_measure(void *argument)
{
    unsigned pause_us = *(unsigned *)argument;
    enum { CALLS_MAX = 5000, WARM = 200 };
    static uint64_t times[CALLS_MAX];
    int calls = pause_us ? 300 : CALLS_MAX;
    for (int call = 0; call < WARM; call++)
        getppid();
    for (int call = 0; call < calls; call++) {
        if (pause_us)
            sleep_us(pause_us);
        uint64_t start = now_ns();
        getppid();
        times[call] = now_ns() - start;
    }
    printf("%.1f\n", (double)median(times, (size_t)calls));
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        blocks_measure();
        return 0;
    }
    unsigned pause_us = strcmp(argv[1], "paced") == 0 ? 2000 : 0;
    pthread_t thread;
    check(pthread_create(&thread, NULL, calls_measure, &pause_us) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
