/* ptrace of a child: it stops at signals, its memory and registers are read and changed, it goes
 * on. */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile long value = 5;

/* To the next stop that is about `signal`, or to the end; other signals are passed on, as a tracer
 * does. */
static int wait_for(pid_t child, int signal)
{
    int status = 0;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) != signal)
        CHECK(ptrace(PTRACE_CONT, child, 0, WSTOPSIG(status)) == 0);
    return status;
}

int main(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGSTOP);
        long vector = value;
        __asm__ volatile("mov $0x77, %%rbx\n\tint3\n\tmov %%rbx, %0" : "+r"(vector)::"rbx");
        _exit((int)(value + vector));
    }
    CHECK(WIFSTOPPED(wait_for(child, SIGSTOP)));
    errno = 0;
    CHECK(ptrace(PTRACE_PEEKDATA, child, &value, 0) == 5 && errno == 0);
    CHECK(ptrace(PTRACE_POKEDATA, child, &value, 9) == 0);
    CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
    CHECK(WIFSTOPPED(wait_for(child, SIGTRAP)));
    struct user_regs_struct registers;
    CHECK(ptrace(PTRACE_GETREGS, child, 0, &registers) == 0 && registers.rbx == 0x77);
    registers.rbx = 3;
    CHECK(ptrace(PTRACE_SETREGS, child, 0, &registers) == 0 && ptrace(PTRACE_CONT, child, 0, 0) == 0);
    status = wait_for(child, 0);
    CHECK(WIFEXITED(status));
    printf("%d\n", WEXITSTATUS(status));
    return 0;
}
