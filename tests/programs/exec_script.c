/* Scripts: the interpreter gets its argument, the script's path and the arguments; one script
 * interprets another. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "behaviour.h"

static void make(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0700);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0700) == 0 && close(fd) == 0);
}

static void run(const char *path, const char *argv0)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(path, argv0, "one", "two words", NULL);
        _exit(errno);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    printf("status %d\n", WEXITSTATUS(status));
}

int main(void)
{
    make("plain", "#!/bin/sh\necho \"$0 $# $1 $2\"\nexit 3\n");
    make("argument", "#! /bin/sh   -x -e  \necho \"$0 $#\" 2>&1\n");
    make("outer", "#!plain rest of line \n");
    make("no-newline", "#!/bin/echo");
    run("./plain", "something else");
    run("argument", "x");
    run("outer", "x");
    run("no-newline", "x");
    CHECK(mkdir("bin", 0700) == 0);
    make("bin/found", "#!/bin/sh\necho \"$0\"\n");
    CHECK(setenv("PATH", "bin:/usr/bin:/bin", 1) == 0);
    CHECK(system("found | sed 's/^/by PATH: /'") == 0);
    return 0;
}
