/*
 * Bells: waiting for other threads. Polls for a bounded time, because waking a processor that
 * sleeps costs more than most commands take, and yields while it polls, because the other side may
 * need this processor. Not for what is waited for.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coproc/engine_parts.h"

void bell_ring(struct bell *bell)
{
    atomic_fetch_add(&bell->word, 1);
    if (atomic_load(&bell->sleepers))
        syscall(SYS_futex, &bell->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void bell_wait(struct bell *bell, uint32_t seen, unsigned spin_us)
{
    if (spin_us) {
        uint64_t until_ns = engine_now_ns() + spin_us * 1000ull;
        do {
            for (unsigned i = 0; i < 16; i++) {
                if (atomic_load_explicit(&bell->word, memory_order_acquire) != seen)
                    return;
                __builtin_ia32_pause();
            }
            sched_yield();
        } while (engine_now_ns() < until_ns);
    }
    atomic_fetch_add(&bell->sleepers, 1);
    while (atomic_load(&bell->word) == seen)
        syscall(SYS_futex, &bell->word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    atomic_fetch_sub(&bell->sleepers, 1);
}
