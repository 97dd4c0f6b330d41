/* execve that cannot be says why in the old program: nothing there, not executable, open for
 * writing, broken, a loop. */
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "behaviour.h"

static void make(const char *name, const void *bytes, size_t size, mode_t mode)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void make_text(const char *name, const char *text)
{
    make(name, text, strlen(text), 0700);
}

static void try(const char *what, const char *path)
{
    char *const arguments[] = {"x", NULL}, *const environment[] = {NULL};
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve(path, arguments, environment);
        _exit(errno);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    printf("%s: %s\n", what, strerrorname_np(WEXITSTATUS(status)) ?: "executed");
}

/* This program once more, changed by a few bytes. */
static void make_elf(const char *name, size_t size, void (*change)(Elf64_Ehdr *header, char *interpreter))
{
    static char bytes[1 << 20];
    int fd = open("/proc/self/exe", O_RDONLY);
    ssize_t got = read(fd, bytes, sizeof bytes);
    CHECK(fd >= 0 && got > 0 && close(fd) == 0);
    Elf64_Ehdr *header = (Elf64_Ehdr *)bytes;
    Elf64_Phdr *segment = (Elf64_Phdr *)(bytes + header->e_phoff);
    while (segment->p_type != PT_INTERP)
        segment++;
    change(header, bytes + segment->p_offset);
    make(name, bytes, size ? size : (size_t)got, 0700);
}

static void no_interpreter(Elf64_Ehdr *header, char *interpreter)
{
    (void)header;
    interpreter[1] = 'X';
}
static void bad_interpreter(Elf64_Ehdr *header, char *interpreter)
{
    (void)header;
    strcpy(interpreter, "script");
}
static void endless_interpreter(Elf64_Ehdr *header, char *interpreter)
{
    (void)header;
    memset(interpreter, '/', strlen(interpreter) + 1);
}
static void bad_headers(Elf64_Ehdr *header, char *interpreter)
{
    (void)interpreter;
    header->e_phentsize = 1;
}
static void bad_type(Elf64_Ehdr *header, char *interpreter)
{
    (void)interpreter;
    header->e_type = ET_REL;
}
static void unchanged(Elf64_Ehdr *header, char *interpreter)
{
    (void)interpreter;
    (void)header;
}

int main(void)
{
    try("nothing there", "nowhere");
    try("a directory", "/tmp");
    make("plain", "#!/bin/true\n", 12, 0600);
    try("not executable", "plain");
    make_text("script", "#!/bin/true\n");
    int fd = open("script", O_WRONLY);
    try("open for writing", "script");
    close(fd);
    make_text("gone", "#!/no/interpreter\n");
    try("no such interpreter", "gone");
    make_text("refused", "#!plain\n");
    try("interpreter not executable", "refused");
    make_text("empty", "#!  \n");
    try("no interpreter named", "empty");
    make_text("self", "#!self\n");
    try("its own interpreter", "self");
    make_text("text", "hello\n");
    try("neither ELF nor script", "text");
    CHECK(symlink("loop", "loop") == 0);
    try("links in a circle", "loop");
    try("below a file", "plain/x");
    make_elf("elf", 0, no_interpreter);
    try("rtld missing", "elf");
    make_elf("elf", 0, bad_interpreter);
    try("rtld not ELF", "elf");
    make_elf("elf", 0, endless_interpreter);
    try("rtld without an end", "elf");
    make_elf("elf", 0, bad_headers);
    try("headers of a strange size", "elf");
    make_elf("elf", 0, bad_type);
    try("not a program", "elf");
    make_elf("elf", 60, unchanged);
    try("cut off", "elf");
    make_text("good", "#!/bin/sh\nexit 0\n");
    try("good", "good");
    return 0;
}
