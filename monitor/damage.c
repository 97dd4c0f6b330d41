/*
 * Damaged files: the rtld maps a library without asking whether the file is as long as its headers say, and natively
 * dies of SIGBUS or SIGSEGV over it. Here the user is told which file it was.
 */
#include "monitor/damage.h"

#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/procfile.h"
#include "monitor/session.h"

#define EXIT_NOT_LOADED 127

static uint64_t rtld_start, rtld_end;

void damage_rtld_range(uint64_t start, uint64_t end)
{
    rtld_start = start;
    rtld_end = end;
}

struct search {
    uint64_t address;
    char *path;
};

static bool mapping_line(char *text, void *context)
{
    const struct search *search = context;
    unsigned long start, end;
    int at = 0;
    if (sscanf(text, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) < 2 || start > search->address)
        return false;
    if (at != 0 && text[at] == '/')
        snprintf(search->path, PATH_MAX, "%s", text + at);
    return true;
}

/* The file mapped at `address`, or else the last one below it; the program when there is none. */
static void file_name(uint64_t address, char path[PATH_MAX])
{
    struct search search = {address, path};
    snprintf(path, PATH_MAX, "%s", session_configuration()->program);
    procfile_lines("/proc/thread-self/maps", mapping_line, &search);
}

void damage_judge(const siginfo_t *info, uint64_t instruction)
{
    char path[PATH_MAX];
    if (instruction < rtld_start || instruction >= rtld_end || info->si_code <= 0)
        return;
    file_name((uint64_t)info->si_addr, path);
    span_warn("%s cannot be loaded: the file is damaged, the dynamic linker found %s (install it anew)", path,
              info->si_signo == SIGBUS ? "its end before what its headers promise" : "its tables point nowhere");
    for (;;)
        syscall(SYS_exit_group, EXIT_NOT_LOADED);
}
