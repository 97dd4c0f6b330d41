/* The first thread ends and the others go on: they compute, call, make threads and children, and
 * end the program. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static pthread_t first;

static void *leaf(void *argument)
{
    return (void *)((long)argument * 2);
}

static void *run(void *unused)
{
    pthread_t thread;
    void *result;
    int status;
    char text[64];
    CHECK0(pthread_join(first, NULL));
    CHECK0(pthread_create(&thread, NULL, leaf, (void *)21));
    CHECK0(pthread_join(thread, &result));
    pid_t child = fork();
    if (child == 0)
        _exit(5);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 5);
    FILE *pipe = popen("echo from a shell", "r");
    CHECK(pipe && fgets(text, sizeof text, pipe) && pclose(pipe) == 0);
    printf("%ld, %s", (long)result, text);
    return unused;
}

int main(void)
{
    pthread_t thread;
    first = pthread_self();
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_detach(thread));
    pthread_exit(NULL);
}
