/* Threads read and write each other's stacks through pointers, and run on stacks that the program
 * gives them. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

struct part {
    const int *values;
    int *result;
    int count;
};

static void *sum(void *argument)
{
    struct part *part = argument;
    int local = 0;
    for (int i = 0; i < part->count; i++)
        local += part->values[i];
    *part->result = local;
    part->count = -1;
    return NULL;
}

static void *parent(void *argument)
{
    int values[4000], results[4] = {0}, total = 0;
    struct part parts[4];
    pthread_t threads[4];
    for (int i = 0; i < 4000; i++)
        values[i] = i;
    for (int i = 0; i < 4; i++) {
        parts[i] = (struct part){values + i * 1000, &results[i], 1000};
        CHECK0(pthread_create(&threads[i], NULL, sum, &parts[i]));
    }
    for (int i = 0; i < 4; i++) {
        CHECK0(pthread_join(threads[i], NULL));
        CHECK(parts[i].count == -1);
        total += results[i];
    }
    *(int *)argument = total;
    return NULL;
}

int main(void)
{
    int total = 0;
    size_t size = 256 * 1024;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(stack != MAP_FAILED);
    CHECK0(pthread_attr_init(&attributes));
    CHECK0(pthread_attr_setstack(&attributes, stack, size));
    CHECK0(pthread_create(&thread, &attributes, parent, &total));
    CHECK0(pthread_join(thread, NULL));
    CHECK(munmap(stack, size) == 0);
    printf("%d\n", total);
    return 0;
}
