/* mremap moves memory that threads on other nodes have written: the contents go along, the old
 * place is gone. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

#define SIZE (16 * 4096)

static char *volatile place, *volatile old;
static pthread_barrier_t barrier;
static _Thread_local sigjmp_buf jump;

static void handler(int signal)
{
    siglongjmp(jump, signal);
}

static void *run(void *unused)
{
    for (volatile int round = 0; round < 6; round++) {
        memset(place, round, SIZE);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < SIZE; i += 512)
            CHECK(place[i] == round);
        if (old) {
            if (sigsetjmp(jump, 1) == 0) {
                old[0] = 1;
                CHECK(0);
            }
        }
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t thread;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK0(pthread_barrier_init(&barrier, NULL, 2));
    place = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int round = 0; round < 6; round++) {
        pthread_barrier_wait(&barrier);
        char *room = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *before = place;
        char *moved = round == 3 ? mremap(before, SIZE, SIZE, MREMAP_MAYMOVE | 4 /* DONTUNMAP */)
                                 : mremap(before, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
        CHECK(moved != MAP_FAILED && moved != before);
        if (round == 3)
            CHECK(before[0] == 0);
        old = round == 3 ? NULL : before;
        place = moved;
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    CHECK0(pthread_join(thread, NULL));
    puts("moved");
    return 0;
}
