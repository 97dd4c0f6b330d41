/* The child of a program with threads has one thread, makes new ones, and forks again. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic int stop, sum;

static void *spin(void *unused)
{
    while (!stop)
        __asm__ volatile("pause");
    return unused;
}

static void *add(void *unused)
{
    for (int i = 0; i < 1000; i++)
        sum++;
    return unused;
}

static void child_run(int depth)
{
    pthread_t threads[3];
    sum = 0;
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, add, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("depth %d: %d\n", depth, sum);
    fflush(stdout);
    if (depth == 3)
        return;
    pid_t child = fork();
    if (child == 0) {
        child_run(depth + 1);
        _exit(depth + 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == depth + 1);
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, spin, NULL));
    child_run(0);
    stop = 1;
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
