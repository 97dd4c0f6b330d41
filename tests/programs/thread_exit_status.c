/* exit in a thread that is not the first ends the process with that status; pthread_exit in the
 * first does not. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static void at_exit(void)
{
    CHECK(write(1, "at exit\n", 8) == 8);
}

static void *ends_all(void *argument)
{
    usleep(2000);
    exit((int)(long)argument);
}

static void *ends_itself(void *argument)
{
    usleep(2000);
    return argument;
}

static int status_of(int kind)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pthread_t thread;
        CHECK(atexit(at_exit) == 0);
        if (kind == 0) {
            CHECK0(pthread_create(&thread, NULL, ends_all, (void *)7));
            for (;;)
                pause();
        }
        CHECK0(pthread_create(&thread, NULL, kind == 1 ? ends_itself : ends_all, (void *)9));
        pthread_exit(NULL);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

int main(void)
{
    int first = status_of(0), second = status_of(1), third = status_of(2);
    printf("%d %d %d\n", first, second, third);
    return 0;
}
