/* MAP_SHARED files: what threads on several nodes and a child write is in the file, and what is
 * written is in memory. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile char *map;
static int file;

static void *run(void *argument)
{
    long own = (long)argument;
    for (int i = 0; i < 4096; i++)
        map[own * 4096 + i] = (char)('a' + own);
    CHECK(pwrite(file, "file", 4, 3 * 4096 + own * 16) == 4);
    CHECK(memcmp((char *)map + 3 * 4096 + own * 16, "file", 4) == 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    char text[8];
    file = open("shared", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && ftruncate(file, 4 * 4096) == 0);
    map = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(map != MAP_FAILED);
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    pid_t child = fork();
    if (child == 0) {
        run((void *)2l);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(msync((char *)map, 4 * 4096, MS_SYNC) == 0 && msync((char *)map + 1, 1, MS_SYNC) == -1 && errno == EINVAL);
    for (int i = 0; i < 3; i++)
        CHECK(pread(file, text, 1, i * 4096 + 4095) == 1 && text[0] == 'a' + i && map[i * 4096] == 'a' + i);
    volatile char *again = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 4096);
    CHECK(again != MAP_FAILED && again[7] == 'b');
    map[4096 + 7] = 'z';
    CHECK(again[7] == 'z');
    int readable = open("shared", O_RDONLY);
    CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, readable, 0) == MAP_FAILED && errno == EACCES);
    puts("shared");
    return 0;
}
