/* O_DIRECT reads and writes memory whose pages other nodes hold, while they go on using what lies
 * beside it. */
#include <fcntl.h>
#include <pthread.h>

#include "behaviour.h"

#define SIZE (64 * 4096)

static char memory[SIZE] __attribute__((aligned(4096))), back[SIZE] __attribute__((aligned(4096)));
static _Atomic int stop;
static volatile long beside;

static void *fill(void *unused)
{
    for (int i = 0; i < SIZE; i++)
        memory[i] = (char)(i / 4096 + 1);
    return unused;
}

static void *touch(void *unused)
{
    while (!stop) {
        beside++;
        for (int i = 0; i < SIZE; i += 4096)
            (void)*(volatile char *)(back + i);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    int file = open("direct", O_CREAT | O_RDWR | O_DIRECT, 0600);
    if (file < 0 && errno == EINVAL)
        return 77;
    CHECK0(pthread_create(&thread, NULL, fill, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(file >= 0 && pwrite(file, memory, SIZE, 0) == SIZE);
    CHECK0(pthread_create(&thread, NULL, touch, NULL));
    for (int i = 0; i < 10; i++) {
        memset(back, 0, SIZE);
        CHECK(pread(file, back, SIZE, 0) == SIZE && memcmp(back, memory, SIZE) == 0);
    }
    stop = 1;
    CHECK0(pthread_join(thread, NULL));
    puts("the same");
    return 0;
}
