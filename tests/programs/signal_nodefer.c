/* SA_NODEFER lets a signal interrupt its own handler; without it, and with sa_mask, it waits for
 * the handler's end. */
#include <pthread.h>
#include <signal.h>

#include "behaviour.h"

static char order[64];

static void note(const char *what)
{
    strcat(order, what);
}

static void nested(int signal)
{
    static int depth;
    note("(");
    if (++depth < 3)
        raise(signal);
    note(")");
}

static void deferred(int signal)
{
    static int times;
    note("[");
    if (++times < 3)
        raise(signal);
    note("]");
}

static void masking(int signal)
{
    (void)signal;
    note("{");
    raise(SIGUSR1); /* in sa_mask: not before the end */
    note("}");
}

static void *run(void *unused)
{
    raise(SIGUSR1);
    note(" ");
    raise(SIGUSR2);
    note(" ");
    raise(SIGHUP);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = nested, .sa_flags = SA_NODEFER};
    pthread_t thread;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    action = (struct sigaction){.sa_handler = deferred};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    action = (struct sigaction){.sa_handler = masking};
    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK(sigaction(SIGHUP, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts(order);
    return 0;
}
