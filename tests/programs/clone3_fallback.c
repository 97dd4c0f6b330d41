/* clone3 makes a child, or says ENOSYS as a kernel without it does; and threads are made either
 * way. */
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *answer(void *argument)
{
    return (char *)argument + 1;
}

int main(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == -1) {
        CHECK(errno == ENOSYS);
        child = fork();
    }
    if (child == 0)
        _exit(6);
    int status;
    CHECK(child > 0 && waitpid((pid_t)child, &status, 0) == child && WEXITSTATUS(status) == 6);
    CHECK(syscall(SYS_clone3, &arguments, 8) == -1 && (errno == EINVAL || errno == ENOSYS));

    pthread_t thread;
    void *result;
    CHECK0(pthread_create(&thread, NULL, answer, (void *)41));
    CHECK0(pthread_join(thread, &result));
    printf("%ld\n", (long)(intptr_t)result);
    return 0;
}
