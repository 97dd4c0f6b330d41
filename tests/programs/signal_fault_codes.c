/* Faults come with the kernel's codes: division, illegal instruction, breakpoint, single step, bus,
 * no access, not mapped. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static _Thread_local sigjmp_buf jump;
static _Thread_local siginfo_t seen;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)context;
    seen = *info;
    siglongjmp(jump, signal);
}

static void *beyond, *forbidden;

static void fault(int which)
{
    volatile int zero = 0, one = 1;
    switch (which) {
    case 0:
        zero = one / zero;
        break;
    case 1:
        __asm__ volatile("ud2");
        break;
    case 2:
        __asm__ volatile("int3");
        break;
    case 3:
        zero = *(volatile int *)beyond;
        break;
    case 4:
        zero = *(volatile int *)forbidden;
        break;
    case 5:
        *nowhere() = 1;
        break;
    case 6:
        zero = *(volatile int *)0x8000000000000000ul; /* not canonical */
        break;
    default:
        __asm__ volatile("hlt");
    }
}

static void *run(void *unused)
{
    for (volatile int i = 0; i < 8; i++) {
        int signal = sigsetjmp(jump, 1);
        if (signal == 0) {
            fault(i);
            CHECK(0);
        }
        const char *where = i == 3   ? (seen.si_addr == beyond ? "right" : "wrong")
                            : i == 4 ? (seen.si_addr == forbidden ? "right" : "wrong")
                            : i == 5 ? (seen.si_addr == (void *)8 ? "right" : "wrong")
                            : i < 2  ? (seen.si_addr ? "some" : "none")
                                     : (seen.si_addr ? "some" : "none");
        printf("%d: %s code %d address %s\n", i, sigabbrev_np(signal), seen.si_code, where);
    }
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    static const int signals[] = {SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGSEGV};
    pthread_t thread;
    for (int i = 0; i < 5; i++)
        CHECK(sigaction(signals[i], &action, NULL) == 0);
    int fd = memfd_create("x", 0);
    beyond = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fd >= 0 && beyond != MAP_FAILED && forbidden != MAP_FAILED);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    run(NULL);
    return 0;
}
