/* A program that has had threads executes another: that one has no children, living or dead, and is told of none. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *starts(void *unused)
{
    return unused;
}

static volatile sig_atomic_t told;

static void on_child(int signal)
{
    (void)signal;
    told++;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_child};
    pthread_t threads[3];
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    if (argc > 1) {
        usleep(100000);
        CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
        CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
        printf("told %d times\n", (int)told);
        return 0;
    }
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, starts, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    fflush(stdout);
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
