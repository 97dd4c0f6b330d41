/*
 * A mutex for the monitor domain: one word, a short spin, then a futex.
 * Not for the program's locks. Not recursive, not fair. Unlike pthread_mutex_t it knows nothing of
 * threads, so it works before libc is set up, in threads made by raw clone, and can be made anew in
 * the child of a raw fork.
 */
#ifndef RUNTIME_LOCK_H
#define RUNTIME_LOCK_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/kernel.h"

#define LOCK_SPINS 100

struct lock {
    uint32_t word; /* 0 free, 1 held, 2 held and somebody may sleep */
};

static inline bool lock_try(struct lock *lock)
{
    uint32_t expected = 0;
    return __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void lock_acquire(struct lock *lock)
{
    for (int i = 0; i < LOCK_SPINS; i++) {
        if (lock_try(lock))
            return;
        __builtin_ia32_pause();
    }
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

static inline void lock_release(struct lock *lock)
{
    if (__atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2)
        kernel_call(SYS_futex, (long)&lock->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

#endif
