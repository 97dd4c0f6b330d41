/* A collector's write barrier: pages are protected, the SIGSEGV handler opens them, from threads on
 * several nodes. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

#define PAGES  16
#define ROUNDS 5

static char *heap;
static _Atomic int faults[PAGES];
static pthread_barrier_t barrier;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    size_t page = (size_t)((char *)info->si_addr - heap) / 4096;
    CHECK(page < PAGES && info->si_code == SEGV_ACCERR);
    faults[page]++;
    CHECK(mprotect(heap + page * 4096, 4096, PROT_READ | PROT_WRITE) == 0);
}

static void *run(void *argument)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        for (int i = (int)(long)argument; i < PAGES; i += 2)
            ++*(volatile int *)(heap + i * 4096 + 8);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    pthread_t threads[2];
    heap = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(heap != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK0(pthread_barrier_init(&barrier, NULL, 3));
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(mprotect(heap, PAGES * 4096, PROT_READ) == 0);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    for (int i = 0; i < PAGES; i++)
        CHECK(faults[i] == ROUNDS && *(int *)(heap + i * 4096 + 8) == ROUNDS);
    puts("each page once a round");
    return 0;
}
