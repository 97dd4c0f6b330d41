/* A terabyte of address space, touched here and there from several nodes, transparent huge pages
 * among it. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

#define SIZE (1ul << 40)

static volatile unsigned char *map;

static void *run(void *argument)
{
    for (unsigned long i = (unsigned long)argument * 64; i < SIZE; i += SIZE / 61)
        map[i] = (unsigned char)(i / (SIZE / 61) + 1);
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(map != MAP_FAILED);
    CHECK(madvise((void *)(((unsigned long)map + (2 << 20)) & ~((2ul << 20) - 1)), 8 << 20, MADV_HUGEPAGE) == 0 ||
          errno == EINVAL);
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    long sum = 0;
    for (unsigned long own = 0; own < 3; own++)
        for (unsigned long i = own * 64; i < SIZE; i += SIZE / 61)
            sum += map[i];
    CHECK(map[12345678901] == 0);
    CHECK(munmap((void *)map, SIZE) == 0);
    printf("%ld\n", sum);
    return 0;
}
