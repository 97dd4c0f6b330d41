/* A thread that is on another node executes a program; so does one after the first thread has
 * ended. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *leader)
{
    if (leader)
        CHECK0(pthread_join(*(pthread_t *)leader, NULL));
    char *const arguments[] = {"sh", "-c", leader ? "echo without its first thread" : "echo in a thread", NULL};
    execv("/bin/sh", arguments);
    _exit(3);
}

int main(void)
{
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread, self = pthread_self();
            CHECK0(pthread_create(&thread, NULL, run, i ? &self : NULL));
            if (i)
                pthread_exit(NULL);
            pthread_join(thread, NULL);
            _exit(4);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    pthread_t thread, self = pthread_self();
    CHECK0(pthread_create(&thread, NULL, run, &self));
    pthread_exit(NULL);
}
