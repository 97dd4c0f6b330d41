/* futex_waitv: one of several words wakes the waiter, whichever node changes it; values, timeouts,
 * errors. */
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "behaviour.h"

static _Atomic uint32_t words[3];
static _Atomic int round_now;

static long wait_for(unsigned count, struct timespec *until)
{
    struct futex_waitv list[3];
    for (unsigned i = 0; i < count; i++)
        list[i] = (struct futex_waitv){.val = 0, .uaddr = (uintptr_t)&words[i], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG};
    long result = syscall(SYS_futex_waitv, list, count, 0, until, CLOCK_MONOTONIC);
    return result < 0 ? -errno : result;
}

static void *run(void *unused)
{
    for (int i = 0; i < 3; i++) {
        while (round_now <= i)
            usleep(1000);
        usleep(10000);
        words[i] = 1;
        CHECK(syscall(SYS_futex, &words[i], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) >= 0);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    if (wait_for(0, NULL) == -ENOSYS)
        return 77;
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < 3; i++) {
        round_now = i + 1;
        long result = wait_for(3, NULL);
        CHECK(result == i || (result == -EAGAIN && words[i]));
        words[i] = 0;
    }
    CHECK0(pthread_join(thread, NULL));
    struct timespec soon;
    clock_gettime(CLOCK_MONOTONIC, &soon);
    CHECK(wait_for(3, &soon) == -ETIMEDOUT);
    words[1] = 5;
    CHECK(wait_for(3, NULL) == -EAGAIN && wait_for(0, NULL) == -EINVAL);
    puts("woken");
    return 0;
}
