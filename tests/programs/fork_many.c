/* Forty children at once, made by threads on several nodes, each with its own answer. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *argument)
{
    pid_t children[10];
    int base = (int)(long)argument * 10, sum = 0;
    for (int i = 0; i < 10; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(base + i);
        CHECK(children[i] > 0);
    }
    for (int i = 9; i >= 0; i--) {
        int status;
        CHECK(waitpid(children[i], &status, 0) == children[i] && WIFEXITED(status));
        sum += WEXITSTATUS(status);
    }
    return (void *)(long)sum;
}

int main(void)
{
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int i = 0; i < 4; i++) {
        void *sum;
        CHECK0(pthread_join(threads[i], &sum));
        printf("%ld\n", (long)sum);
    }
    return 0;
}
