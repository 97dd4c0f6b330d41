/*
 * How fast several threads of one node read memory that another one holds, in pages a second. The main thread, at home,
 * writes a number of pages; threads on the second of two nodes then read one word of each, no page twice and in no
 * order. Usage: random THREADS
 */
#include <pthread.h>
#include <sys/mman.h>

#include "place.h"

#define PAGE        4096u
#define PAGES       8192u /* a power of two, see page_at */
#define THREADS_MAX 64

static volatile uint64_t *memory;
static unsigned count;
static pthread_barrier_t barrier;
static uint64_t sums[THREADS_MAX], starts[THREADS_MAX], ends[THREADS_MAX];

/* A permutation of the numbers below PAGES: each of its steps can be undone. */
static unsigned page_at(unsigned step)
{
    step = step * 2654435761u % PAGES;
    step ^= step >> 6;
    step = step * 2246822519u % PAGES;
    return step ^ step >> 7;
}

static void *reader(void *argument)
{
    unsigned thread = (unsigned)((uint64_t *)argument - sums);
    uint64_t sum = 0;
    node_enter(1, 2);
    pthread_barrier_wait(&barrier);
    uint64_t start = now_ns();
    for (unsigned step = thread; step < PAGES; step += count)
        sum += memory[page_at(step) * (PAGE / sizeof *memory)];
    ends[thread] = now_ns();
    starts[thread] = start;
    sums[thread] = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    uint64_t sum = 0, start = UINT64_MAX, end = 0;
    count = argc == 2 ? (unsigned)atoi(argv[1]) : 0;
    if (count < 1 || count > THREADS_MAX) {
        fprintf(stderr, "usage: random THREADS\n");
        return 2;
    }
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    for (unsigned page = 0; page < PAGES; page++)
        memory[page * (PAGE / sizeof *memory)] = page + 1;
    pthread_barrier_init(&barrier, NULL, count);
    for (unsigned i = 0; i < count; i++)
        check(pthread_create(&threads[i], NULL, reader, &sums[i]) == 0, "pthread_create");
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        sum += sums[i];
        start = starts[i] < start ? starts[i] : start;
        end = ends[i] > end ? ends[i] : end;
    }
    if (sum != (uint64_t)PAGES * (PAGES + 1) / 2) {
        fprintf(stderr, "random: the readers did not see what the writer wrote\n");
        return 1;
    }
    printf("%.1f\n", PAGES * 1e9 / (double)(end - start));
    return 0;
}
