/*
 * What the files of /proc/self tell of the program: its own mappings, threads and descriptors, without the monitor's.
 * Not for descriptors of files that are made (monitor/view.c). Formats: proc(5).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/space.h"
#include "monitor/thread.h"
#include "monitor/view_private.h"
#include "runtime/descriptor.h"

#define PROC_MAGIC         0x9fa0
#define NAME_COLUMN        73 /* of maps */
#define STAT_THREADS_FIELD 20
#define ENTRIES_BYTES      (32u * 1024u)

/* ---- files ----------------------------------------------------------------------------------- */

static bool is_heap(uint64_t start, uint64_t end)
{
    return start < space_brk_now() && end > space_brk_first() && start >= space_brk_first();
}

/* maps (smaps is dear to read as a whole, and is the kernel's): the program's zone, in which the kernel knows no heap. */
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
        bool header = sscanf(own, "%lx-%lx %*4c %*x %*x:%*x %*u%n%c", &first, &last, &at, &name) >= 2 && at && at <= length;
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

/* ---- directories ----------------------------------------------------------------------------- */

/* The kernel's struct linux_dirent64. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static bool is_thread(struct thread *thread, void *tid)
{
    if (thread->tid != *(pid_t *)tid)
        return true;
    *(pid_t *)tid = 0;
    return false;
}

static bool task_hidden(long number)
{
    pid_t tid = (pid_t)number;
    if (tid == getpid())
        return false;
    thread_each(is_thread, &tid);
    return tid != 0;
}

static bool descriptor_hidden(long number)
{
    return descriptor_is_ours((unsigned)number);
}

/* Which entries of the directory are not the program's; NULL: all are. */
static bool (*hider_of(int directory))(long)
{
    char link[64], path[128];
    struct statfs status;
    if (fstatfs(directory, &status) != 0 || status.f_type != PROC_MAGIC)
        return NULL;
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", directory);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    const char *rest = view_own_rest(path);
    if (rest && strcmp(rest, "task") == 0)
        return task_hidden;
    return rest && (strcmp(rest, "fd") == 0 || strcmp(rest, "fdinfo") == 0) ? descriptor_hidden : NULL;
}

/* Removes hidden entries; the bytes that are left. */
static long entries_filter(char *bytes, long size, bool (*hidden)(long))
{
    long left = 0;
    for (long at = 0; at < size;) {
        struct entry *entry = (struct entry *)(void *)(bytes + at);
        uint16_t length = entry->bytes;
        bool number = entry->name[0] >= '0' && entry->name[0] <= '9';
        if (!number || !hidden(strtol(entry->name, NULL, 10))) {
            memmove(bytes + left, entry, length);
            left += length;
        }
        at += length;
    }
    return left;
}

long view_getdents(const uint64_t a[6])
{
    bool (*hidden)(long) = hider_of((int)a[0]);
    if (!hidden)
        return syscall_interruptible(SYS_getdents64, a);
    char bytes[ENTRIES_BYTES] __attribute__((aligned(8)));
    uint64_t arguments[6] = {a[0], (uint64_t)bytes, a[2] < sizeof bytes ? a[2] : sizeof bytes};
    long result;
    do {
        result = syscall_interruptible(SYS_getdents64, arguments);
        if (result <= 0)
            return result;
        result = entries_filter(bytes, result, hidden);
    } while (result == 0);
    return user_copy((void *)a[1], bytes, (size_t)result) ? -EFAULT : result;
}
