/* madvise: DONTFORK, WIPEONFORK, FREE, WILLNEED, HUGEPAGE, POPULATE; mincore and mlock; advice that
 * there is not. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static char *map;

static void *run(void *unused)
{
    memset(map, 'x', 8 * 4096);
    return unused;
}

int main(void)
{
    pthread_t thread;
    unsigned char present[8];
    int status;
    map = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(madvise(map, 4096, MADV_WIPEONFORK) == 0 && madvise(map + 4096, 4096, MADV_DONTFORK) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(map[0] == 0 && map[2 * 4096] == 'x');
        CHECK(write(-1, map + 4096, 1) == -1 && msync(map + 4096, 4096, MS_ASYNC) == -1 && errno == ENOMEM);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(map[0] == 'x' && map[4096] == 'x');
    CHECK(madvise(map + 2 * 4096, 4096, MADV_FREE) == 0 && (map[2 * 4096] == 'x' || map[2 * 4096] == 0));
    CHECK(madvise(map + 3 * 4096, 4096, MADV_DONTNEED) == 0 && map[3 * 4096] == 0);
    CHECK(madvise(map, 8 * 4096, MADV_WILLNEED) == 0 && madvise(map, 8 * 4096, MADV_SEQUENTIAL) == 0);
    CHECK(madvise(map, 8 * 4096, MADV_POPULATE_WRITE) == 0);
    CHECK(mincore(map, 8 * 4096, present) == 0);
    CHECK(mlock(map, 4096) == 0 && munlock(map, 4096) == 0 && mlock2(map, 4096, MLOCK_ONFAULT) == 0);
    CHECK(madvise(map, 4096, 12345) == -1 && errno == EINVAL && madvise(map + 1, 4096, MADV_NORMAL) == -1 &&
          errno == EINVAL);
    CHECK(munmap(map + 4 * 4096, 4096) == 0 && madvise(map, 8 * 4096, MADV_NORMAL) == -1 && errno == ENOMEM);
    CHECK(mincore(map, 8 * 4096, present) == -1 && errno == ENOMEM);
    puts("advised");
    return 0;
}
