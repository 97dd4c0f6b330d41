/* Random bytes into memory that nobody has touched, on every thread. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

static void *run(void *unused)
{
    char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(syscall(SYS_getrandom, memory + 8192, 4096, 0) == 4096);
    CHECK(syscall(SYS_getrandom, memory + 40960 - 100, 200, 0) == 200);
    CHECK(syscall(SYS_getrandom, 16, 16, 0) == -1 && errno == EFAULT);
    int zeros = 0;
    for (int i = 0; i < 4096; i++)
        zeros += memory[8192 + i] == 0;
    CHECK(zeros < 100);
    CHECK(munmap(memory, 1 << 20) == 0);
    return unused;
}

int main(void)
{
    for (int i = 0; i < 10; i++) {
        pthread_t threads[3];
        for (int t = 0; t < 3; t++)
            CHECK0(pthread_create(&threads[t], NULL, run, NULL));
        for (int t = 0; t < 3; t++)
            CHECK0(pthread_join(threads[t], NULL));
    }
    puts("random everywhere");
    return 0;
}
