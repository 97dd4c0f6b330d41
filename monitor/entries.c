/*
 * Directories of /proc/self without what is the monitor's. Not for the files there (monitor/view_process.c). Formats:
 * proc(5).
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "monitor/entries.h"
#include "monitor/thread.h"
#include "monitor/view_private.h"
#include "runtime/descriptor.h"

#define PROC_MAGIC   0x9fa0
#define NUMBER_BYTES 24 /* of a name that is a number, at most */

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
    if (tid == view_pid())
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

/* The number that is the name of the entry at `at`, -1: another name. Reads no further than the entry. */
static long number_at(uint64_t call, uint64_t at, const struct entry_head *head)
{
    char name[NUMBER_BYTES + 1] = {0}, first = ENTRY_FIRST(*head, call);
    size_t before = offsetof(struct entry_head, rest) + (call == SYS_getdents64), size = head->bytes - before;
    if (first < '0' || first > '9' ||
        user_copy(name, (const void *)(at + before), size < NUMBER_BYTES ? size : NUMBER_BYTES) != 0)
        return -1;
    return strtol(name, NULL, 10);
}

/* Removes hidden entries from the program's buffer: the bytes that are left, or -EFAULT. */
static long entries_filter(uint64_t call, uint64_t buffer, long size, bool (*hidden)(long))
{
    long left = 0;
    struct entry_head head;
    for (long at = 0; at < size; at += head.bytes) {
        uint64_t from = buffer + (uint64_t)at;
        if (user_copy(&head, (const void *)from, sizeof head) != 0 || head.bytes < sizeof head ||
            head.bytes > size - at)
            return -EFAULT;
        long number = number_at(call, from, &head);
        if (number >= 0 && hidden(number))
            continue;
        if (left != at && user_copy((void *)(buffer + (uint64_t)left), (const void *)from, head.bytes) != 0)
            return -EFAULT;
        left += head.bytes;
    }
    return left;
}

long entries_read(struct thread *thread, uint64_t number, const uint64_t a[6])
{
    long result = thread->entries_bytes;
    thread->entries_bytes = 0;
    do {
        if (result == 0)
            result = syscall_interruptible((long)number, a);
        if (result <= 0 || !entries_have_numbers(number, a[1], result))
            return result;
        bool (*hidden)(long) = hider_of((int)a[0]);
        if (!hidden)
            return result;
        result = entries_filter(number, a[1], result, hidden);
    } while (result == 0);
    return result;
}
