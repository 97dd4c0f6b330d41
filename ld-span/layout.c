/*
 * The kernel's address layout: with an unlimited stack, or when the old layout is asked for, the kernel puts mappings
 * into the middle of the address space, where the program is going to be. Then ld-span starts again with the usual
 * layout; the limit and the personality that the program shall see travel in a variable. Not for what the program's own
 * layout is.
 */
#include "ld-span/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "runtime/wire.h"

#define VARIABLE    "SPAN_LAYOUT"
#define STACK_USUAL (8ul << 20)
#define STACK_HIGHEST                                                                                                  \
    ((1ul << 47) - SPAN_ZONE_END - (1ul << 42)) /* what leaves the kernel's mappings in the runtime zone */

static char **variable_find(char *envp[])
{
    while (*envp && strncmp(*envp, VARIABLE "=", sizeof VARIABLE) != 0)
        envp++;
    return envp;
}

/* Started again: what was changed for that is put back. */
static void restore(char *variable)
{
    unsigned long soft, persona;
    struct rlimit limit;
    if (sscanf(variable, VARIABLE "=%lx,%lx", &soft, &persona) != 2 || getrlimit(RLIMIT_STACK, &limit) != 0)
        return;
    limit.rlim_cur = soft;
    if (setrlimit(RLIMIT_STACK, &limit) != 0)
        span_verbose("the stack limit stays at %lu bytes: %s", STACK_USUAL, strerror(errno));
    personality(persona);
}

void layout_choose(const char *file, char *argv[], char *envp[])
{
    char **place = variable_find(envp);
    if (*place) {
        restore(*place);
        do
            place[0] = place[1];
        while (*place++);
        return;
    }
    struct rlimit limit;
    int persona = personality(0xffffffff);
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || persona < 0 ||
        (limit.rlim_cur <= STACK_HIGHEST && !(persona & ADDR_COMPAT_LAYOUT)))
        return;
    size_t count = (size_t)(place - envp);
    char **copy = calloc(count + 2, sizeof *copy), text[64];
    if (!copy)
        return;
    snprintf(text, sizeof text, VARIABLE "=%lx,%lx", (unsigned long)limit.rlim_cur, (unsigned long)persona);
    memcpy(copy, envp, count * sizeof *copy);
    copy[count] = text;
    if (limit.rlim_cur > STACK_HIGHEST)
        limit.rlim_cur = STACK_USUAL;
    setrlimit(RLIMIT_STACK, &limit);
    personality((unsigned long)persona & ~(unsigned long)ADDR_COMPAT_LAYOUT);
    execve(file, argv, copy);
    span_fatal("cannot start again with the usual address layout: %s (set another limit with ulimit -s)",
               strerror(errno));
}
