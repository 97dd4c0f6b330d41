/* Writes, atomic ones too, that cross from one page to the next, by two nodes at once: all arrive.
 */
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "behaviour.h"

static char *map;

static void *run(void *unused)
{
    for (int i = 0; i < 100; i++) {
        char *across = map + 8192 * (long)(i % 4) + 4096 - 4;
        __atomic_fetch_add((uint32_t *)across, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_add((uint32_t *)(across + 4), 1, __ATOMIC_SEQ_CST);
        uint64_t both;
        memcpy(&both, across, sizeof both); /* one load over two pages */
        CHECK(both);
    }
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    map = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++)
        sum += *(uint32_t *)(map + 8192 * i + 4092) + *(uint32_t *)(map + 8192 * i + 4096);
    printf("%u\n", sum);
    return 0;
}
