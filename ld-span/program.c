/*
 * Finds the program's file as execvp and the kernel do. Not for loading it.
 */
#include "ld-span/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ld-span/image.h"

#define SCRIPT_LINE_BYTES 256 /* BINPRM_BUF_SIZE */
#define SHELL             "/bin/sh"

static int status_of(int error)
{
    return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* What to do about an error of finding a program. */
static const char *advice(int error)
{
    return error == ENOENT   ? " (give its path, or add its directory to PATH)"
           : error == EACCES ? " (chmod +x makes a program executable)"
           : error == EISDIR ? " (give a program in it)"
                             : "";
}

static int executable_check(const char *path, bool look)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, look ? R_OK : X_OK, AT_EACCESS) < 0 ? errno : 0;
}

static int path_take(const char *name, bool look, char out[PATH_MAX])
{
    if (strlen(name) >= PATH_MAX)
        return ENAMETOOLONG;
    strcpy(out, name);
    return executable_check(out, look);
}

/* As execvp: a name without a slash is looked for in PATH; what is there but not executable is
 * remembered. 0 or errno. */
static int path_search(const char *name, bool look, char out[PATH_MAX])
{
    if (name[0] == '\0')
        return ENOENT;
    if (strchr(name, '/'))
        return path_take(name, look, out);
    const char *path = getenv("PATH");
    int error = ENOENT;
    for (const char *end, *next = path ? path : "/bin:/usr/bin"; next; next = *end ? end + 1 : NULL) {
        end = strchrnul(next, ':');
        int length = (int)(end - next);
        /* An empty element is the current directory. */
        int size = snprintf(out, PATH_MAX, "%.*s%s%s", length, next, length ? "/" : "./", name);
        if (size >= PATH_MAX)
            continue;
        int found = executable_check(out, look);
        if (!found)
            return 0;
        if (found != ENOENT && found != ENOTDIR && error == ENOENT)
            error = found;
    }
    return error;
}

/* Would the kernel change identity or capabilities when it executes this file? */
static bool changes_identity(int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return true;
    if (status.st_mode & S_ISUID && status.st_uid != geteuid())
        return true;
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getegid())
        return true;
    return geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* Puts `count` strings in front of argv[1..], instead of argv[0]. */
static int argv_prepend(struct program *program, char *const strings[], int count)
{
    int argc = program->argc > 0 ? program->argc - 1 + count : count;
    char **argv = calloc((size_t)argc + 1, sizeof *argv);
    if (!argv)
        return ENOMEM;
    for (int i = 0; i < count; i++) {
        if (!(argv[i] = strdup(strings[i])))
            return ENOMEM; /* NOLINT(clang-analyzer-unix.Malloc): the process ends */
    }
    for (int i = count; i < argc; i++)
        argv[i] = program->argv[i - count + 1];
    program->argv = argv;
    program->argc = argc;
    return 0;
}

/* Splits a `#!` line as the kernel does: the interpreter, and all the rest as one argument. */
static char *script_line_split(char *line, char **argument)
{
    char *interpreter = line + 2 + strspn(line + 2, " \t");
    char *end = interpreter + strlen(interpreter);
    while (end > interpreter && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    size_t length = strcspn(interpreter, " \t");
    *argument = interpreter + length;
    if (**argument) {
        *(*argument)++ = '\0';
        *argument += strspn(*argument, " \t");
    }
    return interpreter;
}

/* Text without a `#!` line goes to the shell, as execvp has it. */
static bool looks_like_text(const char *bytes, size_t size)
{
    return size > 0 && !memchr(bytes, '\0', size) && (unsigned char)bytes[0] < 0x7f;
}

/*
 * Looks at the first line of `file`: 1 a script, whose interpreter (next `file`) and arguments are
 * now in place; 0 not a script; -1 an error with a line in `why`.
 */
static int script_follow(struct program *program, char file[PATH_MAX], char *why)
{
    char line[SCRIPT_LINE_BYTES + 1], *argument = NULL, *interpreter = (char *)(uintptr_t)SHELL;
    ssize_t size = pread(program->fd, line, SCRIPT_LINE_BYTES, 0);
    if (size < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.90s: cannot be read: %s", file, strerror(errno));
        return -1;
    }
    line[size] = '\0';
    if (size >= 2 && line[0] == '#' && line[1] == '!') {
        char *end = strchr(line, '\n');
        if (!end && size == SCRIPT_LINE_BYTES && !strpbrk(line + 2 + strspn(line + 2, " \t"), " \t")) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%.70s: its #! line is too long (at most %d bytes)", file,
                     SCRIPT_LINE_BYTES);
            return -1;
        }
        if (end)
            *end = '\0';
        interpreter = script_line_split(line, &argument);
        if (!interpreter[0]) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%.70s: its #! line names no interpreter (add one)", file);
            return -1;
        }
    } else if (image_is_elf(line, (size_t)size) || !looks_like_text(line, (size_t)size)) {
        return 0;
    }
    bool with_argument = argument && *argument;
    char *strings[3] = {interpreter, with_argument ? argument : file, file};
    if (argv_prepend(program, strings, with_argument ? 3 : 2)) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.90s: no memory for its arguments", file);
        return -1;
    }
    strcpy(file, program->argv[0]);
    return 1;
}

static int real_path(int fd, const char *file, char out[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, out, PATH_MAX - 1);
    if (size > 0) {
        out[size] = '\0';
        return 0;
    }
    return realpath(file, out) ? 0 : errno;
}

int program_open(int argc, char *argv[], const char *argv0, const char *executed, bool look, struct program *program,
                 char why[WIRE_MESSAGE_BYTES])
{
    char file[PATH_MAX];
    int error = executed ? path_take(executed, look, file) : path_search(argv[0], look, file);
    memset(program, 0, sizeof *program);
    program->fd = -1;
    program->argc = argc;
    program->argv = argv;
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be run: %s%s", argv[0], strerror(error), advice(error));
        return status_of(error);
    }
    if (argv0)
        argv[0] = (char *)(uintptr_t)argv0;
    strcpy(program->name, file);
    for (int depth = 0;; depth++) {
        program->fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (program->fd < 0 && errno != EACCES) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: cannot be opened: %s", file, strerror(errno));
            return status_of(errno);
        }
        program->native = program->fd < 0 || changes_identity(program->fd);
        int script = program->native || look ? 0 : script_follow(program, file, why);
        if (script < 0)
            return EXIT_NOT_EXECUTABLE;
        if (script == 0)
            break;
        close(program->fd);
        if (depth == PROGRAM_SCRIPTS_MAX) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be run: more than %d scripts interpret each other",
                     program->name, PROGRAM_SCRIPTS_MAX);
            return EXIT_NOT_EXECUTABLE;
        }
        error = executable_check(file, false);
        if (error) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%.50s: its interpreter %.50s cannot be run: %s (correct its #! line)",
                     program->name, file, strerror(error));
            return status_of(error);
        }
    }
    error = program->fd < 0 ? 0 : real_path(program->fd, file, program->path);
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: its path cannot be told: %s", file, strerror(error));
        return 125;
    }
    if (program->fd < 0)
        strcpy(program->path, file);
    return 0;
}

int program_open_executed(int argc, char *argv[], const char *name, struct program *program,
                          char why[WIRE_MESSAGE_BYTES])
{
    memset(program, 0, sizeof *program);
    program->argc = argc;
    program->argv = argv;
    snprintf(program->name, sizeof program->name, "%s", name);
    program->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (program->fd < 0)
        program->fd = open(name, O_RDONLY | O_CLOEXEC);
    if (program->fd < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be read, and ld-span must: %s (run it without ld-span)", name,
                 strerror(errno));
        return EXIT_NOT_EXECUTABLE;
    }
    int error = real_path(program->fd, name, program->path);
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: its path cannot be told: %s", name, strerror(error));
        return 125;
    }
    return 0;
}
