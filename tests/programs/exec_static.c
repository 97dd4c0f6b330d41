/* A static program that is run by exec, and one run by fork and exec, make their calls as any
 * other. */
#include <libgen.h>
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    CHECK(length > 0);
    path[length] = 0;
    char program[8192];
    snprintf(program, sizeof program, "%s/call_unknown_static", dirname(path));
    if (access(program, X_OK) != 0)
        return 77;
    char *const arguments[] = {program, NULL}, *const environment[] = {NULL};
    pid_t child = fork();
    if (child == 0) {
        execve(program, arguments, environment);
        _exit(9);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    execve(program, arguments, environment);
    return 1;
}
