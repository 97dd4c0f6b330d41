/*
 * Damaged files: the rtld maps a library without asking whether the file is as long as its headers say, and natively dies
 * of SIGBUS or SIGSEGV over it. Here the user is told which file it was.
 */
#include "monitor/damage.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/session.h"

#define EXIT_NOT_LOADED 127

static uint64_t rtld_start, rtld_end;

void damage_rtld_range(uint64_t start, uint64_t end)
{
    rtld_start = start;
    rtld_end = end;
}

/* The file mapped at `address`, or else the last one below it; the program when there is none. */
static void file_name(uint64_t address, char path[PATH_MAX])
{
    char line[PATH_MAX + 128];
    snprintf(path, PATH_MAX, "%s", session_configuration()->program);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        int at = 0;
        if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) < 2 || start > address)
            break;
        if (at == 0 || line[at] != '/')
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(path, PATH_MAX, "%s", line + at);
    }
    if (maps)
        fclose(maps);
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
