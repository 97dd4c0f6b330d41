/* execveat and fexecve: a descriptor, a directory, memory that never had a name, a link that is not
 * followed. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "behaviour.h"

static void report(const char *what, pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    printf("%s: %d\n", what, WEXITSTATUS(status));
    fflush(stdout);
}

#define TRY(what, call)                                                                                                \
    do {                                                                                                               \
        pid_t child = fork();                                                                                          \
        if (child == 0) {                                                                                              \
            call;                                                                                                      \
            _exit(errno);                                                                                              \
        }                                                                                                              \
        report(what, child);                                                                                           \
    } while (0)

int main(void)
{
    char *const arguments[] = {"false", NULL}, *const environment[] = {NULL};
    int file = open("/bin/false", O_RDONLY | O_CLOEXEC), place = open("/bin", O_PATH | O_CLOEXEC),
        path = open("/bin/false", O_PATH);
    int memory = memfd_create("program", MFD_CLOEXEC), script = memfd_create("script", MFD_CLOEXEC);
    struct stat status;
    CHECK(file >= 0 && place >= 0 && path >= 0 && memory >= 0 && fstat(file, &status) == 0);
    CHECK(sendfile(memory, file, NULL, (size_t)status.st_size) == status.st_size);
    CHECK(write(script, "#!/bin/sh\nexit 9\n", 17) == 17 && symlink("/bin/false", "link") == 0);
    TRY("descriptor", fexecve(file, arguments, environment));
    TRY("path only", fexecve(path, arguments, environment));
    TRY("memory", fexecve(memory, arguments, environment));
    TRY("directory", execveat(place, "false", arguments, environment, 0));
    TRY("below a file", execveat(file, "false", arguments, environment, 0));
    TRY("link", execveat(AT_FDCWD, "link", arguments, environment, AT_SYMLINK_NOFOLLOW));
    TRY("script that closes", execveat(script, "", arguments, environment, AT_EMPTY_PATH));
    CHECK(fcntl(script, F_SETFD, 0) == 0);
    TRY("script", execveat(script, "", arguments, environment, AT_EMPTY_PATH));
    TRY("no descriptor", execveat(99, "", arguments, environment, AT_EMPTY_PATH));
    TRY("empty", execveat(AT_FDCWD, "", arguments, environment, 0));
    TRY("bad flags", execveat(AT_FDCWD, "/bin/false", arguments, environment, 1));
    TRY("bad pointer", syscall(SYS_execve, nowhere(), arguments, environment));
    TRY("bad arguments", syscall(SYS_execve, "/bin/false", nowhere(), environment));
    TRY("bad environment", syscall(SYS_execve, "/bin/false", arguments, nowhere()));
    return 0;
}
