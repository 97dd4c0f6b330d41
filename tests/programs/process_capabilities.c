/* Capabilities are a thread's own: dropped in one, they are still there in another; no_new_privs is
 * inherited. */
#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *unused)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    data[0].effective &= ~(1u << CAP_CHOWN);
    CHECK(syscall(SYS_capset, &header, data) == 0);
    CHECK(chown("x", 5, 5) == -1 && errno == EPERM);
    return unused;
}

int main(void)
{
    pthread_t thread;
    if (geteuid() != 0)
        return 77;
    FILE *file = fopen("x", "w");
    CHECK(file && fclose(file) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(chown("x", 5, 5) == 0);
    CHECK(prctl(PR_CAPBSET_READ, CAP_KILL) == 1 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    int status;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 1);
    puts("each its own");
    return 0;
}
