/* A handler that never returns but goes to another context, and coroutines by swapcontext, on any
 * node. */
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "behaviour.h"

static _Thread_local ucontext_t outside, coroutine;
static _Thread_local int steps;

static void handler(int signal)
{
    (void)signal;
    steps += 100;
    setcontext(&outside);
}

static void body(void)
{
    for (;;) {
        steps++;
        swapcontext(&coroutine, &outside);
    }
}

static void *run(void *unused)
{
    static _Thread_local char stack[65536];
    CHECK(getcontext(&coroutine) == 0);
    coroutine.uc_stack.ss_sp = stack;
    coroutine.uc_stack.ss_size = sizeof stack;
    makecontext(&coroutine, body, 0);
    for (int i = 0; i < 50; i++)
        CHECK(swapcontext(&outside, &coroutine) == 0);
    volatile int times = 0;
    CHECK(getcontext(&outside) == 0);
    if (times++ < 3)
        raise(SIGUSR1);
    CHECK(times == 4 && steps == 350);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    pthread_t threads[2];
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    puts("left");
    return 0;
}
