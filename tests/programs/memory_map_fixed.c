/* MAP_FIXED replaces, MAP_FIXED_NOREPLACE refuses, hints are hints; every node sees the new memory
 * at once. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

static volatile char *place;
static pthread_barrier_t barrier;

static void *run(void *unused)
{
    for (int i = 0; i < 20; i++) {
        pthread_barrier_wait(&barrier);
        CHECK(place[0] == i && place[4096] == 0);
        place[8192] = (char)(i + 1);
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_barrier_init(&barrier, NULL, 2));
    place = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < 20; i++) {
        memset((char *)place, 99, 16384);
        CHECK(mmap((char *)place, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
              place);
        place[0] = (char)i;
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        CHECK(place[8192] == i + 1);
    }
    CHECK0(pthread_join(thread, NULL));
    CHECK(mmap((char *)place, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              MAP_FAILED &&
          errno == EEXIST);
    CHECK(munmap((char *)place + 16384, 4096) == 0);
    CHECK(mmap((char *)place + 16384, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
          place + 16384);
    void *other = mmap((char *)place, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(other != MAP_FAILED && other != place);
    CHECK(mmap((char *)place + 1, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED &&
          errno == EINVAL);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    CHECK(munmap((char *)place + 1, 4096) == -1 && errno == EINVAL);
    puts("placed");
    return 0;
}
