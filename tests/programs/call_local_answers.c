/* Calls that a node answers itself, into memory that another thread of it makes known meanwhile; the next call's result
 * is the next call's. */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "behaviour.h"

#define ROUNDS 300

static char *_Atomic region;
static _Atomic long turn, done;

static void *asks(void *unused)
{
    pid_t parent = getppid();
    for (long i = 1; i <= ROUNDS; i++) {
        char *memory = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        region = memory;
        turn = i;
        for (volatile long wait = 0; wait < i % 64 * 100; wait++)
            ;
        CHECK(raw_call(SYS_getcpu, (long)memory + 8192, 0, 0, 0, 0, 0) == 0);
        CHECK(raw_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)memory + 16384, 0, 0, 0, 0) == 0);
        CHECK(raw_call(SYS_getppid, 0, 0, 0, 0, 0, 0) == parent);
        CHECK(raw_call(SYS_close, -1, 0, 0, 0, 0, 0) == -EBADF);
        while (done != i)
            sched_yield();
        CHECK(munmap(memory, 1 << 16) == 0);
    }
    turn = -1;
    return unused;
}

static void *touches(void *unused)
{
    for (long last = 0; turn >= 0;) {
        if (turn == last) {
            sched_yield();
            continue;
        }
        last = turn;
        if (last > 0)
            region[0] = 1;
        done = last;
    }
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    CHECK0(pthread_create(&threads[0], NULL, asks, NULL));
    move_thread(gettid(), 0);
    CHECK0(pthread_create(&threads[1], NULL, touches, NULL));
    CHECK0(pthread_join(threads[0], NULL));
    CHECK0(pthread_join(threads[1], NULL));
    puts("each its own");
    return 0;
}
