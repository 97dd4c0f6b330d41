/* int 0x80 makes the 32-bit call of that number; where the kernel has none of these, SIGSEGV as for
 * any such interrupt. */
#include <setjmp.h>
#include <signal.h>

#include "behaviour.h"

static sigjmp_buf back;

static void handler(int signal)
{
    (void)signal;
    siglongjmp(back, 1);
}

static long call_32(long number, long a, long b, long c)
{
    __asm__ volatile("int $0x80" : "+a"(number) : "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
    return number;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    if (sigsetjmp(back, 1) != 0) {
        puts("not here");
        return 0;
    }
    printf("getpid is %s\n", (int)call_32(20, 0, 0, 0) == getpid() ? "right" : "wrong");
    printf("write of nothing gives %d\n", (int)call_32(4, 1, 0, 1));
    printf("call 100000 gives %d\n", (int)call_32(100000, 0, 0, 0));
    return 0;
}
