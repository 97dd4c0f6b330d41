/*
 * How fast one node reads memory that another one holds, in blocks of 64 KiB a second. The main thread, at home, writes
 * SPAN_BENCH_BYTES (256 MiB when it is not set); a thread on the second of two nodes then reads it from the first page
 * to the last, one word of each. What comes ahead of the faults counts.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "place.h"

#define BLOCK     65536u
#define PAGE      4096u
#define BYTES     (256ul << 20)
#define BYTES_MAX (1ul << 30)

static volatile uint64_t *memory;
static size_t bytes;

static void *reader(void *argument)
{
    node_enter(1, 2);
    size_t pages = bytes / PAGE;
    uint64_t sum = 0, start = now_ns();
    for (size_t page = 0; page < pages; page++)
        sum += memory[page * (PAGE / sizeof *memory)];
    uint64_t ns = now_ns() - start;
    if (sum != pages * (pages + 1) / 2) {
        fprintf(stderr, "stream: the reader did not see what the writer wrote\n");
        exit(1);
    }
    printf("%.1f\n", (double)(bytes / BLOCK) * 1e9 / (double)ns);
    return argument;
}

int main(void)
{
    const char *wanted = getenv("SPAN_BENCH_BYTES");
    bytes = (wanted != NULL ? strtoul(wanted, NULL, 10) : BYTES) / BLOCK * BLOCK;
    if (bytes == 0 || bytes > BYTES_MAX) {
        fprintf(stderr, "stream: SPAN_BENCH_BYTES is to be from %u to %lu\n", BLOCK, BYTES_MAX);
        return 2;
    }
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    for (size_t page = 0; page < bytes / PAGE; page++)
        memory[page * (PAGE / sizeof *memory)] = page + 1;
    pthread_t thread;
    check(pthread_create(&thread, NULL, reader, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
