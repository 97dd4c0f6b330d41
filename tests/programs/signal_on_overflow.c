/* A stack that overflows raises SIGSEGV on the alternate stack; the handler leaves with siglongjmp,
 * more than once. */
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>

#include "behaviour.h"

static sigjmp_buf back;
static char *alternate;
static size_t alternate_size;
static volatile int overflows;

static void handler(int signal, siginfo_t *info, void *context)
{
    char here;
    (void)signal;
    (void)info;
    (void)context;
    CHECK(&here >= alternate && &here < alternate + alternate_size);
    overflows++;
    siglongjmp(back, 1);
}

static int descend(volatile char *above)
{
    volatile char here[4096];
    here[0] = above[0];
    return here[0] ? descend(here) + here[0] : 0; /* never 0 */
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    alternate_size = 65536;
    alternate = malloc(alternate_size);
    stack_t stack = {.ss_sp = alternate, .ss_size = alternate_size}, seen;
    CHECK(alternate != NULL && sigaltstack(&stack, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0);
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 64ul << 20)
        return 77;
    for (volatile int i = 0; i < 3; i++) {
        volatile char start = 1;
        if (sigsetjmp(back, 1) == 0)
            descend(&start);
        CHECK(overflows == i + 1);
        CHECK(sigaltstack(NULL, &seen) == 0 && seen.ss_sp == alternate && !(seen.ss_flags & SS_ONSTACK));
    }
    printf("%d\n", overflows);
    return 0;
}
