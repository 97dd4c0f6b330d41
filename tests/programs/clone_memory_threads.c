/* A process in the memory of another, with a thread of its own that ends it: nobody else ends, and the threads of the
 * first go on. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "behaviour.h"

static char stacks[2][65536] __attribute__((aligned(16)));
static _Atomic int over;
static _Atomic long steps;

static void *goes_on(void *unused)
{
    while (!over) {
        steps++;
        usleep(100);
    }
    return unused;
}

static int ends_it(void *unused)
{
    (void)unused;
    syscall(SYS_exit_group, 3);
    return 0;
}

static int process(void *unused)
{
    (void)unused;
    if (clone(ends_it, stacks[1] + sizeof stacks[1], CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_FILES,
              NULL) < 0)
        syscall(SYS_exit_group, 9);
    while (syscall(SYS_pause) != 0)
        ;
    return 0;
}

int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, goes_on, NULL) == 0);
    while (steps < 10)
        usleep(1000);
    for (int round = 0; round < 3; round++) {
        int status = 0;
        pid_t child = clone(process, stacks[0] + sizeof stacks[0], CLONE_VM | SIGCHLD, NULL);
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        printf("it ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    long before = steps;
    usleep(50000);
    printf("the others %s\n", steps > before ? "go on" : "stand");
    over = 1;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
