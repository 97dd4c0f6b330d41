/* A thousand short threads, some at a time, some made by others: each runs once and leaves nothing
 * behind. */
#include <pthread.h>

#include "behaviour.h"

static _Atomic int ran;

static void *leaf(void *unused)
{
    ran++;
    return unused;
}

static void *branch(void *unused)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, leaf, NULL));
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    ran++;
    return unused;
}

int main(void)
{
    pthread_t threads[10];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++)
            CHECK0(pthread_create(&threads[i], NULL, branch, NULL));
        for (int i = 0; i < 10; i++)
            CHECK0(pthread_join(threads[i], NULL));
    }
    printf("%d\n", ran);
    return 0;
}
