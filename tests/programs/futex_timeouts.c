/* Futex waits end in time on both clocks, relative and absolute, on every node. */
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

#include "behaviour.h"

static long elapsed_ms(clockid_t clock, const struct timespec *start)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static struct timespec later(struct timespec time, long ms)
{
    time.tv_nsec += ms * 1000000;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

static void *run(void *unused)
{
    static int word;
    static const struct {
        int operation;
        clockid_t clock;
    } kinds[] = {
        {FUTEX_WAIT, CLOCK_MONOTONIC},
        {FUTEX_WAIT_BITSET, CLOCK_MONOTONIC},
        {FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME},
        {FUTEX_WAIT | FUTEX_PRIVATE_FLAG, CLOCK_MONOTONIC},
        {FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME},
    };
    for (int i = 0; i < 5; i++) {
        struct timespec start, until;
        clock_gettime(kinds[i].clock, &start);
        until = i == 0 || i == 3 ? (struct timespec){0, 30000000} : later(start, 30);
        CHECK(syscall(SYS_futex, &word, kinds[i].operation, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY) == -1 &&
              errno == ETIMEDOUT);
        long took = elapsed_ms(kinds[i].clock, &start);
        CHECK(took >= 29 && took < 1000);
        CHECK(syscall(SYS_futex, &word, kinds[i].operation, 1, &until, NULL, FUTEX_BITSET_MATCH_ANY) == -1 &&
              errno == EAGAIN);
    }
    struct timespec bad = {0, 2000000000};
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &bad, NULL, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_futex, (char *)&word + 1, FUTEX_WAIT, 0, NULL, NULL, 0) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_futex, nowhere(), FUTEX_WAIT, 0, NULL, NULL, 0) == -1 && errno == EFAULT);
    return unused;
}

int main(void)
{
    pthread_t thread;
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("in time");
    return 0;
}
