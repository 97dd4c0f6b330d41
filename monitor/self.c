/*
 * Our own file, learnt at the start: later the directory may be another, and a child made by fork must not parse
 * anything.
 */
#include "monitor/self.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/procfile.h"

static struct {
    char path[PATH_MAX]; /* empty: not known */
    dev_t device;
    ino_t inode;
} self;

static bool mapping_line(char *text, void *context)
{
    extern const char __executable_start[];
    uint64_t start, end;
    int at = 0;
    (void)context;
    if (sscanf(text, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) < 2 || at == 0 ||
        (uint64_t)__executable_start < start || (uint64_t)__executable_start >= end)
        return true;
    snprintf(self.path, sizeof self.path, "%s", text + at);
    return false;
}

void self_record(void)
{
    struct stat status;
    /* The command line's file is what the kernel executed; as PT_INTERP we are only a mapping. */
    procfile_lines("/proc/thread-self/maps", mapping_line, NULL);
    if (self.path[0] && stat(self.path, &status) == 0) {
        self.device = status.st_dev;
        self.inode = status.st_ino;
    } else {
        self.path[0] = 0;
    }
}

static int open_same(const char *path)
{
    struct stat status;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == self.device && status.st_ino == self.inode)
        return fd;
    if (fd >= 0)
        close(fd);
    return -ENOENT;
}

int self_open(void)
{
    if (!self.path[0])
        return -ENOENT;
    int fd = open_same(self.path);
    return fd >= 0 ? fd : open_same("/proc/thread-self/exe");
}
