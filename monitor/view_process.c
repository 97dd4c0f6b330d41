/*
 * What the files of /proc/self tell of the program: its own mappings and threads, without the monitor's.
 * Not for descriptors of files that are made (monitor/view.c) nor for directories (monitor/entries.c). Formats:
 * proc(5).
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/space.h"
#include "monitor/thread.h"
#include "monitor/view_private.h"

#define NAME_COLUMN        73 /* of maps */
#define STAT_THREADS_FIELD 20

static bool is_heap(uint64_t start, uint64_t end)
{
    return start < space_brk_now() && end > space_brk_first() && start >= space_brk_first();
}

/* maps (smaps is dear to read as a whole, and is the kernel's): the program's zone, in which the kernel knows no heap.
 */
static void maps_write(FILE *out, const char *own)
{
    bool keep = false;
    for (const char *end; *own; own = end) {
        uint64_t first, last;
        char name;
        int at = 0;
        const char *newline = strchr(own, '\n');
        end = newline ? newline + 1 : own + strlen(own);
        int length = (int)(end - own) - (newline != NULL);
        bool header =
            sscanf(own, "%lx-%lx %*4c %*x %*x:%*x %*u%n%c", &first, &last, &at, &name) >= 2 && at && at <= length;
        if (header)
            keep = first < SPAN_ZONE_END || memmem(own, (size_t)length, "[vsyscall]", 10);
        if (!keep)
            continue;
        if (header && is_heap(first, last) && length <= at + 1)
            fprintf(out, "%-*.*s[heap]\n", NAME_COLUMN, at, own);
        else
            fprintf(out, "%.*s\n", length, own);
    }
}

static void status_write(FILE *out, const char *own)
{
    const char *threads = strstr(own, "\nThreads:\t");
    if (!threads) {
        fputs(own, out);
        return;
    }
    const char *rest = strchr(threads + 1, '\n');
    fprintf(out, "%.*s\nThreads:\t%u%s", (int)(threads - own), own, thread_count(), rest ? rest : "\n");
}

static void stat_write(FILE *out, const char *own)
{
    const char *at = strrchr(own, ')'); /* the second field may have blanks */
    for (int field = 2; at && field < STAT_THREADS_FIELD; field++) {
        at = strchr(at + 1, ' ');
    }
    const char *rest = at ? strchr(at + 1, ' ') : NULL;
    if (rest)
        fprintf(out, "%.*s %u%s", (int)(at - own), own, thread_count(), rest);
    else
        fputs(own, out);
}

static const struct view_file files[] = {
    {"maps", "maps", maps_write},
    {"status", "status", status_write},
    {"stat", "stat", stat_write},
};

const struct view_file *view_process_file(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].path, name) == 0)
            return &files[i];
    return NULL;
}
