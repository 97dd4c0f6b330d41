/* pthread_atfork: the handlers run in their order, in a thread on another node, too. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static char order[32];

#define NOTE(name, letter)                                                                                             \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        strcat(order, letter);                                                                                         \
    }
NOTE(prepare1, "a")
NOTE(prepare2, "b")
NOTE(parent1, "c")
NOTE(parent2, "d")
NOTE(child1, "e")
NOTE(child2, "f")

static void *run(void *unused)
{
    order[0] = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child %s\n", order);
        fflush(stdout);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    printf("parent %s\n", order);
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_atfork(prepare1, parent1, child1));
    CHECK0(pthread_atfork(prepare2, parent2, child2));
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
