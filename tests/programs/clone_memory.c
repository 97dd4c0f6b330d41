/* clone with CLONE_VM as a process of its own: common memory, its tid is set and cleared, hundreds
 * of them in turn. */
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

#define CHILDREN 300

static char stack[65536] __attribute__((aligned(16)));
static volatile int value;

static int child_run(void *argument)
{
    value += (int)(long)argument;
    return 3;
}

static int child_stays(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return 0;
}

int main(void)
{
    int status;
    for (int i = 0; i < CHILDREN; i++) {
        volatile int tid = -1;
        pid_t parent_tid = -1;
        pid_t child = clone(child_run, stack + sizeof stack,
                            CLONE_VM | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
                            (void *)2l, &parent_tid, NULL, &tid);
        CHECK(child > 0 && parent_tid == child);
        int seen;
        while ((seen = tid) != 0)
            syscall(SYS_futex, &tid, FUTEX_WAIT, seen, NULL, NULL, 0);
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
    }
    volatile int tid = -1;
    pid_t child =
        clone(child_stays, stack + sizeof stack, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, &tid);
    CHECK(child > 0 && kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    printf("%d %d %d\n", value, WTERMSIG(status), tid);
    return 0;
}
