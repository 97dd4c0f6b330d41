/* The program itself dies of a fault in a thread on another node, and the status is that signal. */
#include <pthread.h>
#include <sys/resource.h>

#include "behaviour.h"

static void *die(void *unused)
{
    puts("before");
    fflush(stdout);
    *nowhere() = 1;
    return unused;
}

int main(void)
{
    struct rlimit none = {0, 0};
    pthread_t thread;
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
    CHECK0(pthread_create(&thread, NULL, die, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("not reached");
    return 0;
}
