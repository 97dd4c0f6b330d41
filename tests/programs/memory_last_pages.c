/* Memory at the upper end of what a session lays programs out in, written one page after the other, as any other. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

#define PAGES 70
#define END   0x700000000000ul

static void *idle(void *unused)
{
    usleep(1000);
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    for (int t = 0; t < 3; t++)
        CHECK0(pthread_create(&threads[t], NULL, idle, NULL));
    char *memory = mmap((void *)(END - PAGES * 4096ul), PAGES * 4096ul, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (int i = 0; i < PAGES; i++)
        memory[i * 4096] = (char)i;
    memory[PAGES * 4096 - 1] = 1;
    for (int t = 0; t < 3; t++)
        CHECK0(pthread_join(threads[t], NULL));
    CHECK(munmap(memory, PAGES * 4096) == 0);
    puts("up to the last");
    return 0;
}
