/* What a process dies of is what its parent sees, whichever of its threads it was: faults, abort,
 * signals, exit. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *die(void *argument)
{
    volatile int zero = 0, one = 1;
    switch ((long)argument) {
    case 0:
        *nowhere() = 1;
        break;
    case 1:
        abort();
    case 2:
        zero = one / zero;
        break;
    case 3:
        __asm__ volatile("ud2");
        break;
    case 4:
        __asm__ volatile("int3");
        break;
    case 5:
        raise(SIGTERM);
        break;
    case 6:
        kill(getpid(), SIGKILL);
        break;
    case 7:
        signal(SIGUSR1, SIG_DFL);
        pthread_kill(pthread_self(), SIGUSR1);
        break;
    case 8:
        exit(9);
    case 9:
        signal(SIGSEGV, SIG_IGN); /* a fault kills all the same */
        *nowhere() = 1;
        break;
    default:
        raise(SIGRTMIN + 3);
    }
    for (;;)
        pause();
}

int main(void)
{
    struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
    for (long i = 0; i < 22; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            if (i >= 11)
                die((void *)(i % 11));
            pthread_create(&thread, NULL, die, (void *)i);
            for (;;)
                pause();
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        printf("%ld: %s %d\n", i, WIFEXITED(status) ? "exited" : "killed",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    return 0;
}
