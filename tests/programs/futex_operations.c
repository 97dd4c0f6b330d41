/* The futex operations that libraries use now and then: requeue, wake with an operation, bit sets,
 * timeouts. */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "behaviour.h"

static _Atomic uint32_t first, second, waiting;

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const void *timeout, _Atomic uint32_t *other,
                  uint32_t third)
{
    return syscall(SYS_futex, word, operation, value, timeout, other, third);
}

static void *wait_first(void *argument)
{
    atomic_fetch_add(&waiting, 1);
    while (atomic_load(&first) == 0)
        CHECK(futex(&first, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0 || errno == EAGAIN || errno == EINTR);
    return argument;
}

static void *wait_bits(void *argument)
{
    atomic_fetch_add(&waiting, 1);
    long result = futex(&second, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 4);
    CHECK(result == 0 || errno == EAGAIN);
    return argument;
}

int main(void)
{
    pthread_t threads[3];
    const struct timespec soon = {0, 2000000};
    CHECK(futex(&first, FUTEX_WAIT, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(futex(&first, FUTEX_WAIT, 0, &soon, NULL, 0) == -1 && errno == ETIMEDOUT);
    CHECK(futex(&first, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);

    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, wait_first, NULL));
    long moved = 0;
    while (moved < 3) { /* none is woken, all are moved to the second word as they come */
        long result = futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)3, &second, 0);
        CHECK(result >= 0);
        moved += result;
        sched_yield();
    }
    CHECK(futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)3, &second, 5) == -1 && errno == EAGAIN);
    atomic_store(&first, 1);
    CHECK(futex(&first, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
    /* Adds 1 to the second word, and wakes those who wait there because it was 0 before. */
    CHECK(futex(&first, FUTEX_WAKE_OP_PRIVATE, 0, (void *)3, &second, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)) ==
          3);
    CHECK(atomic_load(&second) == 1);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));

    atomic_store(&second, 0);
    CHECK0(pthread_create(&threads[0], NULL, wait_bits, NULL));
    while (futex(&second, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 4) == 0) {
        CHECK(futex(&second, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 3) == 0);
        sched_yield();
    }
    CHECK0(pthread_join(threads[0], NULL));
    puts("woken");
    return 0;
}
