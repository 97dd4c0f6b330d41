/*
 * Words that several threads change at once, each on a processor of its own, wherever the word lies: in a line, across two
 * lines, across two pages. Every locked operation counts, none twice; halves of a plain word come from real writes.
 * Usage: counters NAME ROUNDS   NAME: what is done, a dot, and where; without arguments: the names
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE    4096ul
#define THREADS 3u

static const struct place {
    const char *name;
    size_t offset;
} places[] = {{"aligned", 64}, {"unaligned", 67}, {"lines", 126}, {"pages", PAGE - 2}, {"halves", PAGE - 4}};

static volatile uint8_t *word;
static unsigned long rounds, plain;
static _Atomic uint32_t lock_word, ready;
static bool torn;

static uint32_t exchange_add(volatile uint8_t *at, uint32_t value)
{
    __asm__ volatile("lock xaddl %0, %1" : "+r"(value), "+m"(*(volatile uint32_t *)at) : : "memory", "cc");
    return value;
}

static uint32_t compare_exchange(volatile uint8_t *at, uint32_t expected, uint32_t desired)
{
    __asm__ volatile("lock cmpxchgl %2, %1"
                     : "+a"(expected), "+m"(*(volatile uint32_t *)at)
                     : "r"(desired)
                     : "memory", "cc");
    return expected;
}

/* What a thread has got from its own additions only ever grows. */
static void xadd(unsigned number)
{
    uint32_t before = 0;
    for (unsigned long i = 0; i < rounds; i++) {
        uint32_t seen = exchange_add(word, 1);
        if (i > 0 && seen <= before)
            torn = true;
        before = seen;
    }
    (void)number;
}

static void cmpxchg(unsigned number)
{
    (void)number;
    for (unsigned long i = 0; i < rounds; i++) {
        uint32_t seen = 0, wanted;
        do {
            wanted = seen;
            seen = compare_exchange(word, wanted, wanted + 1);
        } while (seen != wanted);
    }
}

/* A plain word guarded by a lock that is a page away. */
static void spinlock(unsigned number)
{
    (void)number;
    for (unsigned long i = 0; i < rounds; i++) {
        while (atomic_exchange(&lock_word, 1))
            sched_yield();
        uint32_t value;
        __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile uint32_t *)word) : "memory");
        value++;
        __asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)word) : "r"(value) : "memory");
        plain++;
        atomic_store(&lock_word, 0);
    }
}

/* Each thread writes eight bytes, its number in all of them, over the border of two pages; a half is never of two writes. */
static void plain_halves(unsigned number)
{
    for (unsigned long i = 0; i < rounds; i++) {
        uint64_t value = (number + 1) * 0x0101010101010101u;
        __asm__ volatile("movq %1, %0" : "=m"(*(volatile uint64_t *)word) : "r"(value) : "memory");
        __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(*(volatile uint64_t *)word) : "memory");
        uint32_t halves[2];
        memcpy(halves, &value, sizeof halves);
        for (unsigned half = 0; half < 2; half++)
            if (halves[half] % 0x01010101u != 0 || halves[half] / 0x01010101u < 1 || halves[half] / 0x01010101u > THREADS)
                torn = true;
    }
}

static const struct action {
    const char *name;
    void (*run)(unsigned number);
    bool counts;
} actions[] = {{"xadd", xadd, true}, {"cmpxchg", cmpxchg, true}, {"spinlock", spinlock, true}, {"plain", plain_halves, false}};

static const struct action *action;

static void *thread_main(void *argument)
{
    unsigned number = (unsigned)(uintptr_t)argument;
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(number % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &mask);
    sched_setaffinity(0, sizeof mask, &mask);
    ready++;
    while (ready < THREADS)
        sched_yield();
    action->run(number);
    return NULL;
}

static bool fits(const struct action *a, const struct place *p)
{
    return (strcmp(p->name, "halves") == 0) == !a->counts;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        for (size_t j = 0; j < sizeof places / sizeof *places; j++) {
            char name[64];
            if (!fits(&actions[i], &places[j]))
                continue;
            snprintf(name, sizeof name, "%s.%s", actions[i].name, places[j].name);
            if (argc == 1)
                printf("%s %u\n", name, THREADS);
            else if (strcmp(name, argv[1]) == 0) {
                action = &actions[i];
                word = (volatile uint8_t *)places[j].offset;
            }
        }
    if (argc == 1)
        return 0;
    if (argc < 3 || !action || atol(argv[2]) <= 0) {
        fprintf(stderr, "usage: counters [NAME ROUNDS]\n");
        return 2;
    }
    rounds = (unsigned long)atol(argv[2]) / THREADS;
    uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 2;
    word = memory + (uintptr_t)word;
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, thread_main, (void *)(uintptr_t)t) != 0)
            return 2;
    for (unsigned t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    uint32_t value;
    memcpy(&value, (const void *)word, sizeof value);
    bool wrong = torn || (action->counts && value != (uint32_t)(rounds * THREADS));
    if (action->counts)
        printf("%12u  counted of %lu%s\n", value, rounds * THREADS, wrong ? "  FORBIDDEN" : "");
    else
        printf("%12lu  written%s\n", rounds * THREADS, wrong ? "  FORBIDDEN" : "");
    return wrong ? 1 : 0;
}
