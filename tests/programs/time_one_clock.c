/* One monotonic clock for all nodes: a time that one thread has read is never later than what
 * another reads afterwards. */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include "behaviour.h"

static _Atomic uint64_t last[3];
static _Atomic int turn;
static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};

static uint64_t now(clockid_t clock)
{
    struct timespec time;
    CHECK(clock_gettime(clock, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *run(void *argument)
{
    for (int i = 0; i < 100; i++) {
        while (turn % 3 != (int)(long)argument)
            sched_yield();
        for (int j = 0; j < 3; j++) {
            uint64_t time = now(clocks[j]);
            CHECK(time >= last[j]);
            last[j] = time;
        }
        turn++;
    }
    struct timeval micro;
    CHECK(gettimeofday(&micro, NULL) == 0 && labs(time(NULL) - micro.tv_sec) <= 1);
    uint64_t before = now(CLOCK_MONOTONIC), by_call;
    struct timespec call;
    CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &call) == 0);
    by_call = (uint64_t)call.tv_sec * 1000000000u + (uint64_t)call.tv_nsec;
    CHECK(before <= by_call && by_call <= now(CLOCK_MONOTONIC));
    CHECK(now(CLOCK_MONOTONIC_COARSE) <= now(CLOCK_MONOTONIC) && now(CLOCK_MONOTONIC_RAW) > 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    struct timespec resolution;
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(clock_getres(CLOCK_MONOTONIC, &resolution) == 0 && resolution.tv_nsec == 1);
    CHECK(clock_gettime(12345, &resolution) == -1 && errno == EINVAL);
    puts("forward");
    return 0;
}
