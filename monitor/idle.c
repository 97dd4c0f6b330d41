/*
 * How long the processors of this node have had nothing to do, by /proc/stat. Not for what we use ourselves.
 *
 * The file is opened before a peer's filter forbids opening files, and read again and again. Its unit is a tick of
 * USER_HZ. Source: proc(5).
 */
#include "monitor/idle.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/fdguard.h"

#define FILE_MAX (256u * 1024u)

static int file = -1;
static cpu_set_t processors;
static long ticks_per_second;
static uint64_t before_us; /* before the session */

void idle_initialise(void)
{
    ticks_per_second = sysconf(_SC_CLK_TCK);
    if (file < 0 && ticks_per_second > 0 && sched_getaffinity(0, sizeof processors, &processors) == 0)
        file = fdguard_move(open("/proc/stat", O_RDONLY | O_CLOEXEC));
    before_us = idle_us();
}

/* `line` is what follows "cpu": a number, then user, nice, system, idle and iowait in ticks. */
static uint64_t line_idle_ticks(char *line)
{
    unsigned long processor = strtoul(line, &line, 10);
    if (processor >= CPU_SETSIZE || !CPU_ISSET(processor, &processors))
        return 0;
    for (int field = 0; field < 3; field++)
        strtoull(line, &line, 10);
    uint64_t idle = strtoull(line, &line, 10);
    return idle + strtoull(line, &line, 10);
}

uint64_t idle_us(void)
{
    static char text[FILE_MAX];
    uint64_t ticks = 0;
    ssize_t size = file < 0 ? -1 : pread(file, text, sizeof text - 1, 0);
    if (size <= 0)
        return 0;
    text[size] = 0;
    for (char *line = text; line != NULL && strncmp(line, "cpu", 3) == 0;) {
        if (line[3] >= '0' && line[3] <= '9')
            ticks += line_idle_ticks(line + 3);
        line = strchr(line, '\n');
        line += line != NULL;
    }
    return ticks * 1000000u / (uint64_t)ticks_per_second - before_us;
}
