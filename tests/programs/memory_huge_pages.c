/* MAP_HUGETLB memory, where the machine has some, is used by threads on several nodes. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

static volatile int *map;

static void *run(void *argument)
{
    for (int i = 0; i < 1000; i++)
        map[(long)argument * 1024] += i;
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    map = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (map == MAP_FAILED)
        return 77;
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d %d\n", map[0], map[1024]);
    return 0;
}
