/* A child with threads is stopped and continued: its parent is told, nothing runs while it is
 * stopped. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic long *counter;

static void *count(void *unused)
{
    for (;;)
        ++*counter;
    return unused;
}

int main(void)
{
    int status;
    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(counter != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0); /* a stop from the keyboard means nothing to an orphaned group */
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, count, NULL));
        for (;;)
            pause();
    }
    while (*counter < 100)
        usleep(1000);
    for (int i = 0; i < 3; i++) {
        CHECK(kill(child, i ? SIGSTOP : SIGTSTP) == 0);
        CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
        long before = *counter;
        usleep(20000);
        CHECK(*counter == before);
        printf("stopped by %s\n", sigabbrev_np(WSTOPSIG(status)));
        CHECK(kill(child, SIGCONT) == 0);
        CHECK(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
        while (*counter == before)
            usleep(1000);
    }
    CHECK(kill(child, SIGTERM) == 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    printf("ended by %s\n", sigabbrev_np(WTERMSIG(status)));
    return 0;
}
