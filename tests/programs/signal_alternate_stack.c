/* Each thread's handlers run on the alternate stack that the thread has set, and only with
 * SA_ONSTACK. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static _Thread_local char *stack;
static _Thread_local int on_it, state;

static void handler(int signal)
{
    char here;
    stack_t now;
    (void)signal;
    on_it = &here >= stack && &here < stack + 65536;
    CHECK(sigaltstack(NULL, &now) == 0);
    state = now.ss_flags;
    if (on_it)
        CHECK(sigaltstack(&now, NULL) == -1 && errno == EPERM); /* not while in use */
}

static void *run(void *unused)
{
    stack_t set = {.ss_sp = stack = malloc(65536), .ss_size = 65536}, old;
    CHECK(sigaltstack(&set, &old) == 0 && old.ss_flags == SS_DISABLE);
    for (int i = 0; i < 4; i++) {
        CHECK(raise(i % 2 ? SIGUSR1 : SIGUSR2) == 0);
        CHECK(on_it == i % 2 && state == (i % 2 ? SS_ONSTACK : 0));
    }
    set.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&set, &old) == 0 && old.ss_sp == stack && old.ss_size == 65536);
    CHECK(raise(SIGUSR1) == 0 && !on_it);
    set = (stack_t){.ss_sp = stack, .ss_size = 1000};
    CHECK(sigaltstack(&set, NULL) == -1 && errno == ENOMEM);
    free(stack);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    pthread_t threads[3];
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    action.sa_flags = 0;
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    run(NULL);
    puts("each on its own");
    return 0;
}
