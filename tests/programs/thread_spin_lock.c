/* Spin locks and atomic operations of all sizes count exactly, on several nodes at once. */
#include <pthread.h>
#include <stdint.h>

#include "behaviour.h"

static pthread_spinlock_t lock;
static volatile long plain;
static uint8_t bytes;
static uint16_t words;
static uint32_t numbers;
static uint64_t longs;
static unsigned __int128 pair __attribute__((aligned(16)));

static void pair_add(void)
{
    uint64_t low = (uint64_t)pair, high = (uint64_t)(pair >> 64);
    unsigned char done;
    do
        __asm__ volatile("lock cmpxchg16b %1; setz %0"
                         : "=q"(done), "+m"(pair), "+a"(low), "+d"(high)
                         : "b"(low + 1), "c"(high + 2)
                         : "cc");
    while (!done);
}

static void *run(void *unused)
{
    for (int i = 0; i < 300; i++) {
        CHECK0(pthread_spin_lock(&lock));
        plain++;
        CHECK0(pthread_spin_unlock(&lock));
        __atomic_fetch_add(&bytes, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&words, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&numbers, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&longs, 1, __ATOMIC_SEQ_CST);
        pair_add();
    }
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    CHECK0(pthread_spin_init(&lock, 0));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%ld %d %d %u %lu %lu %lu\n", plain, bytes, words, numbers, longs, (uint64_t)pair, (uint64_t)(pair >> 64));
    return 0;
}
