/*
 * The cost of one remote read fault, in nanoseconds, the median. The main thread, at home, writes a
 * number of pages; a thread that ld-span places on the other node then reads one word of each. In
 * no order, so that no prefetch hides a fault.
 * Usage: fault [HOW], where HOW is one of
 * - nothing: one read right after the other
 * - paced: two milliseconds of sleep before each, so that whoever answers has gone to sleep
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "median.h"

#define PAGE  4096u
#define PAGES 4096u /* a power of two, see page_at */
#define WARM  64u

static volatile uint64_t *memory;
static unsigned pause_us;
static uint64_t times[PAGES];

/* Visits each page once: an odd multiplier permutes the numbers below a power of two. */
static unsigned page_at(unsigned step)
{
    return step * 2654435761u % PAGES;
}

static void *reader(void *argument)
{
    (void)argument;
    unsigned count = pause_us ? 400 : PAGES;
    uint64_t sum = 0;
    for (unsigned step = 0; step < count; step++) {
        volatile uint64_t *word = memory + page_at(step) * (PAGE / sizeof *memory);
        if (pause_us)
            sleep_us(pause_us);
        times[step] = 0; /* its own page is here before the clock starts */
        uint64_t start = now_ns();
        sum += *word;
        times[step] = now_ns() - start;
    }
    for (unsigned step = 0; step < count; step++)
        sum -= page_at(step) + 1;
    if (sum != 0) {
        fprintf(stderr, "fault: the reader did not see what the writer wrote\n");
        exit(1);
    }
    printf("%.1f\n", (double)median(times + WARM, count - WARM));
    return NULL;
}

int main(int argc, char **argv)
{
    pause_us = argc > 1 && strcmp(argv[1], "paced") == 0 ? 2000 : 0;
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    for (unsigned page = 0; page < PAGES; page++)
        memory[page * (PAGE / sizeof *memory)] = page + 1;
    pthread_t thread;
    check(pthread_create(&thread, NULL, reader, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
