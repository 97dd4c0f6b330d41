/* Signals that a handler's mask blocks run after it, not in it; a real-time signal of the highest number as well. */
#include <signal.h>

#include "behaviour.h"

static volatile sig_atomic_t depth, deepest, ran;

static void handler(int signal)
{
    if (++depth > deepest)
        deepest = depth;
    if (signal == SIGUSR1) {
        raise(SIGUSR2);
        raise(SIGRTMAX);
    }
    ran++;
    depth--;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t all, old;
    sigfillset(&action.sa_mask);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0 &&
          sigaction(SIGRTMAX, &action, NULL) == 0);
    raise(SIGUSR1);
    CHECK(ran == 3 && deepest == 1);
    sigfillset(&all);
    CHECK(sigprocmask(SIG_BLOCK, &all, &old) == 0);
    raise(SIGUSR2);
    raise(SIGRTMAX);
    CHECK(ran == 3);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    CHECK(ran == 5 && deepest == 1);
    puts("in turn");
    return 0;
}
