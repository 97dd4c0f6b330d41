/* While a process is stopped none of its threads runs, wherever it is, and afterwards all go on. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>

#include "behaviour.h"

enum { THREADS = 4, STOPPED_MS = 1500, STANDS_MS = 700 };

static volatile int over;
static _Atomic int running;

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The longest time in which it did not come to look at the clock. */
static void *looks(void *longest)
{
    uint64_t last = now_ms();
    running++;
    while (!over) {
        uint64_t now = now_ms();
        if (now - last > *(uint64_t *)longest)
            *(uint64_t *)longest = now - last;
        last = now;
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    static uint64_t longest[THREADS][512]; /* a page for each */
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, looks, longest[i]) == 0);
    while (running < THREADS)
        usleep(1000);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t parent = getppid();
        kill(parent, SIGSTOP);
        usleep(STOPPED_MS * 1000);
        kill(parent, SIGCONT);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    usleep(300000);
    over = 1;
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        printf("thread %d %s\n", i, longest[i][0] > STANDS_MS ? "stood still" : "went on");
    }
    return 0;
}
