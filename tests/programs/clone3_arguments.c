/* clone3 refuses what makes no sense, and makes a process of what does. */
#include <linux/sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

static void try(const char *what, struct clone_args arguments, size_t size)
{
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, size);
    if (child == 0)
        _exit(6);
    int status = 0, error = child < 0 ? errno : 0;
    if (child > 0)
        CHECK(waitpid(child, &status, __WALL) == child);
    printf("%s: %s\n", what, child < 0 ? strerrorname_np(error) : "made");
}

int main(void)
{
    const size_t size = sizeof(struct clone_args);
    try("plain", (struct clone_args){.exit_signal = SIGCHLD}, size);
    try("no exit signal", (struct clone_args){.exit_signal = 0}, size);
    try("exit signal 300", (struct clone_args){.exit_signal = 300}, size);
    try("exit signal 65", (struct clone_args){.exit_signal = 65}, size);
    try("exit signal in flags", (struct clone_args){.flags = SIGCHLD}, size);
    try("stack without a size", (struct clone_args){.stack = 4096, .exit_signal = SIGCHLD}, size);
    try("size without a stack", (struct clone_args){.stack_size = 4096, .exit_signal = SIGCHLD}, size);
    try("thread without its signals", (struct clone_args){.flags = CLONE_THREAD}, size);
    try("signals without memory", (struct clone_args){.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD}, size);
    try("two file systems", (struct clone_args){.flags = CLONE_FS | CLONE_NEWNS, .exit_signal = SIGCHLD}, size);
    try("too small", (struct clone_args){.exit_signal = SIGCHLD}, 32);
    return 0;
}
