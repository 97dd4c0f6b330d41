/*
 * A futex handed to and fro between two threads on two nodes: each wakes the other, by a word of its own page, and
 * sleeps until it is woken. Prints the nanoseconds of one hand-over, the median of pairs halved. Usage: futex
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "place.h"

enum { PAIRS = 3000, WARM = 100 };

static struct {
    unsigned turn __attribute__((aligned(4096)));
} words[2];

static void word_hand_over(unsigned *word, unsigned turn)
{
    __atomic_store_n(word, turn, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void word_await(unsigned *word, unsigned turn)
{
    for (unsigned seen; (seen = __atomic_load_n(word, __ATOMIC_SEQ_CST)) != turn;)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void *answerer(void *argument)
{
    (void)argument;
    node_enter(0, 2);
    for (unsigned turn = 1; turn <= WARM + PAIRS; turn++) {
        word_await(&words[0].turn, turn);
        word_hand_over(&words[1].turn, turn);
    }
    return NULL;
}

static void *asker(void *argument)
{
    (void)argument;
    static uint64_t times[PAIRS];
    node_enter(1, 2);
    for (unsigned turn = 1; turn <= WARM + PAIRS; turn++) {
        uint64_t start = now_ns();
        word_hand_over(&words[0].turn, turn);
        word_await(&words[1].turn, turn);
        if (turn > WARM)
            times[turn - WARM - 1] = now_ns() - start;
    }
    printf("%.1f\n", (double)median(times, PAIRS) / 2);
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    check(pthread_create(&threads[0], NULL, answerer, NULL) == 0, "pthread_create");
    check(pthread_create(&threads[1], NULL, asker, NULL) == 0, "pthread_create");
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
