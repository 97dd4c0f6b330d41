/* MADV_DONTNEED gives zeroes back, in anonymous memory at once for all threads, and the file's
 * bytes in a mapping of it. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

#define PAGES 16

static void *fill(void *argument)
{
    memset(argument, 9, PAGES * 4096);
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    char *memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (int round = 0; round < 5; round++) {
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, fill, memory));
        CHECK0(pthread_join(thread, NULL));
        CHECK(memory[5 * 4096] == 9);
        CHECK(madvise(memory + 4096, (PAGES - 2) * 4096, MADV_DONTNEED) == 0);
        CHECK(memory[0] == 9 && memory[4095] == 9 && memory[(PAGES - 1) * 4096] == 9);
        for (int i = 4096; i < (PAGES - 1) * 4096; i++)
            CHECK(memory[i] == 0);
    }
    int fd = open(argv[0], O_RDONLY);
    CHECK(fd >= 0);
    char *file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(file != MAP_FAILED && memcmp(file, "\177ELF", 4) == 0);
    memset(file, 0, 4096);
    CHECK(madvise(file, 4096, MADV_DONTNEED) == 0);
    CHECK(memcmp(file, "\177ELF", 4) == 0);
    puts("zero");
    return 0;
}
