/* Signals while a 32-bit call waits: again with SA_RESTART, or EINTR; and mappings that such a call can tell of. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "behaviour.h"

static sigjmp_buf back;
static int ends[2];

static long call_32(long number, long a, long b, long c, long d, long e)
{
    __asm__ volatile("int $0x80"
                     : "+a"(number)
                     : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "r8", "r9", "r10", "r11", "memory");
    return number;
}

static void on_fault(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static void on_signal(int signal)
{
    (void)signal;
    CHECK(write(ends[1], "x", 1) == 1);
}

/* The thread that reads is told apart: where it runs is decided by who runs this. */
static void *reads(void *low)
{
    long result = call_32(3, ends[0], (long)low, 1, 0, 0);
    printf("read gives %ld, %c\n", result, *(char *)low);
    return NULL;
}

static void interrupted(int flags, char *low)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    pthread_t thread;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    *low = '-';
    CHECK(pthread_create(&thread, NULL, reads, low) == 0);
    usleep(100000);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    if (sigsetjmp(back, 1) != 0) {
        puts("not here");
        return 0;
    }
    long low = call_32(192, 0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    printf("mmap2 gives %s\n", low > 0 && low < 1l << 32 ? "a low address" : "something else");
    *(char *)low = '-';
    CHECK(pipe(ends) == 0);
    interrupted(SA_RESTART, (char *)low);
    interrupted(0, (char *)low);
    /* The byte of the second handler is still there. */
    reads((void *)low);
    struct pollfd {
        int fd;
        short events, revents;
    } *poll_low = (struct pollfd *)(low + 16);
    *poll_low = (struct pollfd){ends[0], 1, 0};
    printf("poll gives %ld\n", call_32(168, (long)poll_low, 1, 50, 0, 0));
    return 0;
}
