/*
 * Contents of files that tell of processors, for the session's: made from the machine's own.
 * Not for descriptors (monitor/view.c). Formats: proc(5), the kernel's admin-guide/cputopology.
 *
 * Peers are assumed to be like home: their processors are described as home's are, which is what
 * programs look for here (features, counts), and their load is told as idle.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/view_private.h"

static const char *line_end(const char *text)
{
    const char *end = strchr(text, '\n');
    return end != NULL ? end + 1 : text + strlen(text);
}

static bool line_has_key(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && (line[length] == '\t' || line[length] == ':' || line[length] == ' ');
}

/* ---- /proc/cpuinfo ------------------------------------------------------------------------- */

/* The paragraph of the machine's processor number `index`, counted as they come; the first one when
 * there are fewer. */
static const char *paragraph_find(const char *own, unsigned index)
{
    const char *first = NULL;
    for (const char *line = own; *line != 0; line = line_end(line)) {
        if (!line_has_key(line, "processor"))
            continue;
        if (first == NULL)
            first = line;
        if (index-- == 0)
            return line;
    }
    return first;
}

/* Writes the line with the value of those keys that number things; false when it is not one of
 * them. */
static bool line_renumber(FILE *out, const char *line, unsigned processor)
{
    unsigned node = view_node_of(processor), count = view.first[node + 1] - view.first[node];
    const struct {
        const char *key;
        unsigned value;
        bool on_home; /* also for home's own processors */
    } numbers[] = {
        {"processor", processor, true},
        {"apicid", processor, false},
        {"initial apicid", processor, false},
        {"physical id", node, false},
        {"core id", processor - view.first[node], false},
        {"siblings", count, true},
        {"cpu cores", count, false},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!line_has_key(line, numbers[i].key) || (node == HOME_NODE && !numbers[i].on_home))
            continue;
        const char *colon = memchr(line, ':', (size_t)(line_end(line) - line));
        if (colon == NULL)
            return false;
        fprintf(out, "%.*s: %u\n", (int)(colon - line), line, numbers[i].value);
        return true;
    }
    return false;
}

static void cpuinfo_write(FILE *out, const char *own)
{
    for (unsigned processor = 0; processor < view.total; processor++) {
        const char *line = paragraph_find(own, processor - view.first[view_node_of(processor)]);
        if (line == NULL)
            return;
        for (; *line != 0 && *line != '\n'; line = line_end(line)) {
            if (!line_renumber(out, line, processor))
                fwrite(line, 1, (size_t)(line_end(line) - line), out);
        }
        fputc('\n', out);
    }
}

/* ---- /proc/stat ---------------------------------------------------------------------------- */

static bool line_is_processor(const char *line)
{
    return strncmp(line, "cpu", 3) == 0 && isdigit((unsigned char)line[3]);
}

/* A processor that has been idle since the machine was started: the sum of `like`'s times in the
 * fourth field. */
static void idle_write(FILE *out, unsigned processor, const char *like)
{
    unsigned long long sum = 0;
    unsigned fields = 0;
    const char *end = line_end(like);
    char *next = (char *)like + strcspn(like, " ");
    while (next < end && *next == ' ') {
        sum += strtoull(next, &next, 10);
        fields++;
    }
    fprintf(out, "cpu%u", processor);
    for (unsigned i = 0; i < fields; i++)
        fprintf(out, " %llu", i == 3 ? sum : 0);
    fputc('\n', out);
}

static void stat_write(FILE *out, const char *own)
{
    unsigned processor = 0;
    const char *line = own, *like = NULL;
    if (strncmp(line, "cpu ", 4) == 0) {
        fwrite(line, 1, (size_t)(line_end(line) - line), out);
        line = line_end(line);
    }
    for (; line_is_processor(line); line = line_end(line)) {
        like = line;
        if (processor >= view.first[1])
            continue;
        fprintf(out, "cpu%u", processor++);
        const char *rest = line + strcspn(line, " ");
        fwrite(rest, 1, (size_t)(line_end(line) - rest), out);
    }
    for (; like != NULL && processor < view.total; processor++)
        idle_write(out, processor, like);
    fputs(line, out);
}

/* ---- /sys/devices/system/cpu --------------------------------------------------------------- */

static void range_write(FILE *out, const char *own)
{
    (void)own;
    if (view.total == 1)
        fputs("0\n", out);
    else
        fprintf(out, "0-%u\n", view.total - 1);
}

static void none_write(FILE *out, const char *own)
{
    (void)own;
    fputc('\n', out);
}

static void maximum_write(FILE *out, const char *own)
{
    unsigned long maximum = strtoul(own, NULL, 10);
    fprintf(out, "%lu\n", maximum < view.total - 1 ? view.total - 1 : maximum);
}

static const struct view_file files[] = {
    {"/proc/cpuinfo", "cpuinfo", cpuinfo_write},
    {"/proc/stat", "stat", stat_write},
    {"/sys/devices/system/cpu/online", "online", range_write},
    {"/sys/devices/system/cpu/possible", "possible", range_write},
    {"/sys/devices/system/cpu/present", "present", range_write},
    {"/sys/devices/system/cpu/offline", "offline", none_write},
    {"/sys/devices/system/cpu/kernel_max", "kernel_max", maximum_write},
};

const struct view_file *view_file_find(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    }
    return NULL;
}
