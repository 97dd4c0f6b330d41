/* A mapped file that is cut short: memory beyond its end raises SIGBUS, on any node; grown again,
 * it is zero. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static _Thread_local sigjmp_buf jump;
static volatile char *map;
static int file;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(jump, info->si_addr == map + 4096 + 5 ? signal : -1);
}

static void *run(void *unused)
{
    map[4096 + 5] = 'x';
    CHECK(ftruncate(file, 4096) == 0);
    int signal = sigsetjmp(jump, 1);
    if (signal == 0) {
        map[4096 + 5] = 'y';
        CHECK(0);
    }
    CHECK(signal == SIGBUS && ftruncate(file, 8192) == 0 && map[4096 + 5] == 0);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t thread;
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    file = open("file", O_CREAT | O_RDWR, 0600);
    CHECK(file >= 0 && ftruncate(file, 8192) == 0);
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(map != MAP_FAILED);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    run(NULL);
    puts("cut and grown");
    return 0;
}
