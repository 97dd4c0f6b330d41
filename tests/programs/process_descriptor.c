/* pidfd: opened or made by clone, polled from another node, signals sent by it, waited for by it.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *argument)
{
    int descriptor = (int)(long)argument;
    struct pollfd wait = {descriptor, POLLIN, 0};
    siginfo_t info;
    CHECK(poll(&wait, 1, 20) == 0);
    CHECK(pidfd_send_signal(descriptor, SIGTERM, NULL, 0) == 0);
    CHECK(poll(&wait, 1, 5000) == 1 && wait.revents & POLLIN);
    CHECK(waitid(P_PIDFD, (id_t)descriptor, &info, WEXITED) == 0 && info.si_status == SIGTERM);
    CHECK(pidfd_send_signal(descriptor, 0, NULL, 0) == -1 && errno == ESRCH);
    return NULL;
}

int main(void)
{
    for (int i = 0; i < 2; i++) {
        int descriptor = -1;
        pid_t child = i ? (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &descriptor, NULL, NULL) : fork();
        if (child == 0)
            for (;;)
                pause();
        if (i == 0)
            descriptor = pidfd_open(child, 0);
        CHECK(descriptor >= 0);
        pthread_t thread;
        CHECK0(pthread_create(&thread, NULL, run, (void *)(long)descriptor));
        CHECK0(pthread_join(thread, NULL));
        close(descriptor);
    }
    int own = pidfd_open(getpid(), 0), copy = pidfd_getfd(own, 1, 0);
    CHECK(own >= 0 && copy >= 0);
    puts("by descriptor");
    return 0;
}
