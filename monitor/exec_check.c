/*
 * The checks of execve(2) that come before the point of no return: the kernel would make them on the program, but gets
 * to see only ld-span. Followed through `#!` lines and PT_INTERP. What is not for us is left to the kernel unchecked.
 */
#include "monitor/exec_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/session.h"

#define HEAD_BYTES        256 /* of a file that the kernel looks at: linux/binfmts.h */
#define INTERPRETERS_MAX  5
#define HEADERS_BYTES_MAX 65536
#define EXECVE_CHECK      0x10000 /* AT_EXECVE_CHECK, since Linux 6.14 */
#define FLAGS_KNOWN       (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)

/* A kernel without AT_EXECVE_CHECK: permission, and whether somebody has the file open for writing (fcntl(2), leases).
 */
static long may_open_old(int directory, const char *path, int at, int fd)
{
    if (faccessat(directory, path, X_OK, AT_EACCESS | at) != 0)
        return -errno;
    if (fd < 0 || fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        if (fd >= 0)
            fcntl(fd, F_SETLEASE, F_UNLCK);
        return 0;
    }
    return errno == EAGAIN ? -ETXTBSY : 0;
}

static long may_open(int directory, const char *path, int at, int fd)
{
    struct stat status;
    char *const none[] = {NULL};
    if (fstatat(directory, path, &status, at) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISLNK(status.st_mode) ? -ELOOP : -EACCES;
    if (syscall(SYS_execveat, directory, path, none, none, at | EXECVE_CHECK) == 0)
        return 0;
    return errno == EINVAL ? may_open_old(directory, path, at, fd) : -errno;
}

static int open_to_read(int directory, const char *path)
{
    char link[64];
    if (*path)
        return openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", directory);
    return open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t';
}

/* The interpreter that a `#!` line names, execve(2) "Interpreter scripts"; `head` is as much as the kernel reads of it.
 */
static long script_interpreter(const char head[HEAD_BYTES], char interpreter[HEAD_BYTES])
{
    const char *last = head + HEAD_BYTES - 1, *first = head + 2;
    const char *newline = memchr(head, '\n', HEAD_BYTES);
    const char *end = newline ? newline : last;
    while (first < end && is_blank(*first))
        first++;
    size_t length = 0;
    while (first + length < end && !is_blank(first[length]) && first[length])
        length++;
    if (length == 0 || (!newline && first + length == last))
        return -ENOEXEC; /* none, or cut off */
    memcpy(interpreter, first, length);
    interpreter[length] = 0;
    return 0;
}

static bool elf_is_ours(const Elf64_Ehdr *header)
{
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_machine == EM_X86_64 && (header->e_type == ET_EXEC || header->e_type == ET_DYN);
}

static bool headers_have_sense(const Elf64_Ehdr *header)
{
    return header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum > 0 &&
           header->e_phnum <= HEADERS_BYTES_MAX / sizeof(Elf64_Phdr);
}

/* The rtld of an ELF file: it must be there, be executable, and be an ELF file of this machine. */
static long rtld_check(const char *path)
{
    Elf64_Ehdr header;
    int fd = open_to_read(AT_FDCWD, path);
    long result = may_open(AT_FDCWD, path, 0, fd);
    if (result == 0 && fd >= 0) {
        ssize_t got = pread(fd, &header, sizeof header, 0);
        if (got != sizeof header)
            result = -EIO;
        else if (!elf_is_ours(&header) || !headers_have_sense(&header))
            result = -ELIBBAD;
    }
    if (fd >= 0)
        close(fd);
    return result;
}

static long elf_check(int fd, const Elf64_Ehdr *header)
{
    if (!headers_have_sense(header))
        return -ENOEXEC;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        char path[PATH_MAX];
        off_t at = (off_t)(header->e_phoff + i * sizeof segment);
        if (pread(fd, &segment, sizeof segment, at) != sizeof segment)
            return -ENOEXEC;
        if (segment.p_type != PT_INTERP)
            continue;
        if (segment.p_filesz < 2 || segment.p_filesz > sizeof path)
            return -ENOEXEC;
        if (pread(fd, path, segment.p_filesz, (off_t)segment.p_offset) != (ssize_t)segment.p_filesz)
            return -EIO;
        return path[segment.p_filesz - 1] ? -ENOEXEC : rtld_check(path);
    }
    return 0;
}

/* One file of the chain: 1 and the next one in `next`, 0 at its end, or a negative errno. */
static long file_check(int fd, char next[HEAD_BYTES], bool *ours)
{
    char head[HEAD_BYTES] = {0};
    Elf64_Ehdr header;
    ssize_t got = pread(fd, head, sizeof head, 0);
    memcpy(&header, head, sizeof header);
    if (got > 2 && head[0] == '#' && head[1] == '!') {
        long result = script_interpreter(head, next);
        *ours = true;
        return result < 0 ? result : 1;
    }
    if (got < (ssize_t)sizeof header || !elf_is_ours(&header))
        return 0;
    *ours = true;
    return elf_check(fd, &header);
}

long exec_check(int directory, const char *path, int flags, bool *ours)
{
    char next[HEAD_BYTES];
    *ours = false;
    if (flags & ~FLAGS_KNOWN)
        return 0; /* for the kernel to refuse, or to check */
    for (int depth = 0;; depth++) {
        int at = depth ? 0 : flags;
        struct stat status;
        int fd = open_to_read(directory, path);
        long result = may_open(directory, path, at, fd);
        if (result == 0 && depth > INTERPRETERS_MAX)
            result = -ELOOP;
        bool readable = fd >= 0 && fstat(fd, &status) == 0;
        bool plain = readable && session_configuration()->follow && !(status.st_mode & (S_ISUID | S_ISGID));
        if (result == 0 && plain) {
            result = file_check(fd, next, ours);
            bool closes = *path == 0 && fcntl(directory, F_GETFD) & FD_CLOEXEC;
            if (result == 1 && depth == 0 && closes)
                result = -ENOENT; /* the interpreter could not open its script */
        }
        if (fd >= 0)
            close(fd);
        if (result <= 0)
            return result;
        directory = AT_FDCWD;
        path = next;
    }
}
