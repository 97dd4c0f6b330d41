/* int 0x80 keeps all registers but RAX, works for more than getpid, for threads and for children. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "behaviour.h"

static sigjmp_buf back;

static void handler(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static long call_32(long number, long a, long b, long c)
{
    long result, b_after, c_after, d_after, s_after;
    __asm__ volatile("int $0x80"
                     : "=a"(result), "=b"(b_after), "=c"(c_after), "=d"(d_after), "=S"(s_after)
                     : "0"(number), "1"(a), "2"(b), "3"(c), "4"(0x1234567812345678)
                     : "r8", "r9", "r10", "r11", "memory");
    CHECK(b_after == a && c_after == b && d_after == c && s_after == 0x1234567812345678);
    return result;
}

static void *thread_main(void *low)
{
    char *text = low;
    strcpy(text, "thread\n");
    CHECK(call_32(4, 1, (long)text, 7) == 7);
    printf("gettid is %s\n", (int)call_32(224, 0, 0, 0) == (int)syscall(SYS_gettid) ? "right" : "wrong");
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    if (sigsetjmp(back, 1) != 0) {
        puts("not here");
        return 0;
    }
    call_32(20, 0, 0, 0);
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    CHECK(low != MAP_FAILED);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < 4; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, thread_main, low) == 0 && pthread_join(thread, NULL) == 0);
    }
    strcpy(low, "/proc/self/exe");
    long file = call_32(5, (long)low, 0, 0);
    CHECK(file > 2 && call_32(19, file, -5, SEEK_END) > 0);
    strcpy(low, "/no/such/file");
    printf("open gives %ld\n", call_32(5, (long)low, 0, 0));
    pid_t child = (pid_t)call_32(2, 0, 0, 0);
    if (child == 0)
        call_32(1, 42, 0, 0);
    *(int *)low = 0;
    CHECK(call_32(7, child, (long)low, 0) == child && WIFEXITED(*(int *)low));
    printf("the child ended with %d\n", WEXITSTATUS(*(int *)low));
    call_32(252, 7, 0, 0);
    return 1;
}
