/* The stack grows as it is used, a MAP_GROWSDOWN mapping too, a thread's stack ends at its guard.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static sigjmp_buf jump;
static void *fault;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    fault = info->si_addr;
    siglongjmp(jump, 1);
}

static int deep(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    int below = depth ? deep(depth - 1) : 0;
    return below + room[0] / (room[0] ? room[0] : 1);
}

static void *run(void *unused)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    CHECK(sigaltstack(&stack, NULL) == 0);
    deep(60);
    if (sigsetjmp(jump, 1) == 0) {
        deep(1000000);
        CHECK(0);
    }
    long below = (long)&stack - (long)fault;
    CHECK(below > 0 && below < 1 << 20);
    deep(60);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    deep(1000); /* 4 MiB */
    CHECK0(pthread_attr_init(&attributes));
    CHECK0(pthread_attr_setstacksize(&attributes, 1 << 19));
    CHECK0(pthread_create(&thread, &attributes, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    char *room = mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(room != MAP_FAILED && munmap(room, 64 << 20) == 0);
    char *top = mmap(room + (32 << 20), 8192, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    CHECK(top != MAP_FAILED);
    for (int i = 0; i < 40; i++)
        *(volatile char *)(top - i * 4096) = (char)i;
    CHECK(top[-39 * 4096] == 39);
    puts("grown");
    return 0;
}
