/* Two hundred short threads, eight at a time: memory and identities are given back. */
#include <pthread.h>

#include "behaviour.h"

static void *work(void *argument)
{
    char *memory = malloc(1000 + (size_t)argument);
    CHECK(memory != NULL);
    memset(memory, 1, 1000 + (size_t)argument);
    long result = memory[999] + (long)argument;
    free(memory);
    return (void *)result;
}

int main(void)
{
    long total = 0;
    for (long round = 0; round < 25; round++) {
        pthread_t threads[8];
        for (long i = 0; i < 8; i++)
            CHECK0(pthread_create(&threads[i], NULL, work, (void *)(round * 8 + i)));
        for (int i = 0; i < 8; i++) {
            void *result;
            CHECK0(pthread_join(threads[i], &result));
            total += (long)result;
        }
    }
    printf("%ld\n", total);
    return 0;
}
