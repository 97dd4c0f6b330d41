/* The page at address zero stays unmapped: the kernel answers EFAULT, a load and a jump raise
 * SIGSEGV. */
#include <setjmp.h>
#include <signal.h>

#include "behaviour.h"

static sigjmp_buf back;
static volatile long fault_address;

static void handler(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    fault_address = (long)info->si_addr;
    siglongjmp(back, 1);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    int ends[2];
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && pipe(ends) == 0);
    volatile long zero = 0;
    void *null = (void *)zero;
    for (int i = 0; i < OFTEN; i++) {
        CHECK(write(ends[1], null, 1) == -1 && errno == EFAULT);
        CHECK(write(ends[1], "x", 1) == 1);
        CHECK(read(ends[0], null, 1) == -1 && errno == EFAULT);
        char byte;
        CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x');
        CHECK(access(null, F_OK) == -1 && errno == EFAULT);
        CHECK(raw_call(SYS_openat, -100, 0, 0, 0, 0, 0) == -EFAULT);
    }
    fault_address = -1;
    if (sigsetjmp(back, 1) == 0)
        (void)*(volatile char *)null;
    CHECK(fault_address == 0);
    fault_address = -1;
    if (sigsetjmp(back, 1) == 0)
        ((void (*)(void))null)();
    CHECK(fault_address == 0);
    puts("faults");
    return 0;
}
