/*
 * The cost of moving a running thread, in nanoseconds: a thread reads the clock without end; from
 * the outside it is moved between the nodes, and each time it finds itself on another CPU it notes
 * how long it has not run.
 * Usage: migrate COUNT. Prints `PID TID`, waits until it has been moved COUNT times, prints the
 * median. When nobody moves it, it gives up after some seconds.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "median.h"

#define MOVES_MAX  1000
#define GIVE_UP_NS (30 * 1000000000ull)

static int moves_wanted;
static uint64_t gaps[MOVES_MAX];

static void *spinner(void *argument)
{
    (void)argument;
    printf("%d %ld\n", (int)getpid(), (long)syscall(SYS_gettid));
    fflush(stdout);
    int moves = 0, cpu = sched_getcpu();
    /* It may be taken away between asking for the CPU and for the time: a gap is counted from before the last question
     * that had the old answer. */
    uint64_t start = now_ns(), before = start;
    while (moves < moves_wanted && before - start < GIVE_UP_NS) {
        uint64_t now = now_ns();
        int cpu_now = sched_getcpu();
        if (cpu_now != cpu) {
            gaps[moves++] = now_ns() - before;
            cpu = cpu_now;
            now = now_ns();
        }
        before = now;
    }
    if (moves < moves_wanted) {
        fprintf(stderr, "migrate: moved %d times only\n", moves);
        exit(1);
    }
    printf("%.1f\n", (double)median(gaps, (size_t)moves));
    return NULL;
}

int main(int argc, char **argv)
{
    moves_wanted = argc > 1 ? atoi(argv[1]) : 50;
    if (moves_wanted < 1 || moves_wanted > MOVES_MAX)
        return 2;
    pthread_t thread;
    check(pthread_create(&thread, NULL, spinner, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
