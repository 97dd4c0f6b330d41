/* clone with CLONE_FILES and without CLONE_VM: descriptors are common to both, memory is not. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *add(void *sum)
{
    for (int i = 0; i < 1000; i++)
        ++*(volatile int *)sum;
    return NULL;
}

int main(void)
{
    int value = 1, sum = 0;
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, add, &sum)); /* the nodes are in use */
        CHECK0(pthread_join(thread, NULL));
        int status, ends[2];
        CHECK(pipe(ends) == 0);
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
        if (child == 0) {
            value = 2;
            close(ends[0]);
            _exit(open("/dev/null", O_RDONLY) == ends[0] ? 0 : 1);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(value == 1 && fcntl(ends[0], F_GETFD) == 0 && read(ends[0], &status, 1) == 0);
        close(ends[0]);
        close(ends[1]);
    }
    CHECK(sum == 3000);
    puts("common descriptors");
    return 0;
}
