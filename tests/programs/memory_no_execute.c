/* Memory without PROT_EXEC is not executed and memory without access not touched, on any node,
 * after mprotect at once. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static _Thread_local sigjmp_buf jump;
static unsigned char *page;
static pthread_barrier_t barrier;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    siglongjmp(jump, info->si_code);
}

static int try(int how)
{
    volatile unsigned char *at = page;
    int code = sigsetjmp(jump, 1);
    if (code)
        return code;
    if (how == 0)
        (void)at[0];
    else if (how == 1)
        at[100] = 1;
    else
        ((void (*)(void))(void *)page)();
    return 0;
}

static void *run(void *unused)
{
    for (int i = 0; i < 8; i++) {
        pthread_barrier_wait(&barrier);
        for (int how = 0; how < 3; how++) {
            int expected = i & 4 && how != 1 ? SEGV_MAPERR : SEGV_ACCERR;
            int allowed = !(i & 4) && (how == 0 ? i & 3 : how == 1 ? i & 2 : (i & 3) == 3);
            if (i & 4)
                expected = SEGV_MAPERR;
            CHECK(try(how) == (allowed ? 0 : expected));
        }
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

int main(void)
{
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE | PROT_EXEC};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    pthread_t threads[2];
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && sigaction(SIGSEGV, &action, NULL) == 0);
    page[0] = 0xc3;
    CHECK0(pthread_barrier_init(&barrier, NULL, 3));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 8; i++) {
        CHECK(i < 4 ? mprotect(page, 4096, protections[i]) == 0 : munmap(page, 4096) == 0);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    puts("refused where it is");
    return 0;
}
