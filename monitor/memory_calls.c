/*
 * System calls on mappings: from the table's numbers to monitor/space.h.
 */
#include "monitor/memory_calls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor/procfile.h"
#include "monitor/space.h"
#include "runtime/kernel.h"
#include "syscall/entry.h"

#define ADVISE_VECTOR_MAX 1024 /* UIO_MAXIOV */
#define ADVISE_AT_ONCE    16

/* Numbers that stand for the caller itself (linux/pidfd.h since 6.14). */
#define PIDFD_SELF_THREAD       (-10000)
#define PIDFD_SELF_THREAD_GROUP (-10001)

static bool pid_line(char *text, void *context)
{
    return sscanf(text, "Pid: %ld", (long *)context) != 1;
}

/* Is the pidfd this process? */
static bool pidfd_is_self(int fd)
{
    char path[48];
    long pid = -1;
    if (fd == PIDFD_SELF_THREAD || fd == PIDFD_SELF_THREAD_GROUP)
        return true;
    snprintf(path, sizeof path, "/proc/thread-self/fdinfo/%d", fd);
    procfile_lines(path, pid_line, &pid);
    return pid == getpid();
}

/* Does the advice take contents away, so that the map and the peers have to know? */
static bool advice_discards(int advice)
{
    return advice == MADV_DONTNEED || advice == MADV_FREE || advice == 24 /* MADV_DONTNEED_LOCKED */ ||
           advice == MADV_HUGEPAGE || advice == 102 || advice == 103 /* MADV_GUARD_INSTALL, _REMOVE */;
}

/* process_madvise on ourselves: the bytes advised, or the error when there are none
 * (process_madvise(2)). */
static long advise_self(uint64_t vector, uint64_t count, int advice)
{
    struct iovec parts[ADVISE_AT_ONCE];
    long done = 0;
    if (count > ADVISE_VECTOR_MAX)
        return -EINVAL;
    for (uint64_t i = 0; i < count; i += ADVISE_AT_ONCE) {
        uint64_t now = count - i < ADVISE_AT_ONCE ? count - i : ADVISE_AT_ONCE;
        if (user_copy(parts, (const void *)(vector + i * sizeof parts[0]), now * sizeof parts[0]))
            return done ? done : -EFAULT;
        for (uint64_t j = 0; j < now; j++) {
            long result = space_madvise((uint64_t)(uintptr_t)parts[j].iov_base, parts[j].iov_len, advice);
            if (result < 0)
                return done ? done : result;
            done += (long)parts[j].iov_len;
        }
    }
    return done;
}

long memory_call(unsigned number, const unsigned long a[6], bool *handled)
{
    *handled = true;
    switch (number) {
    case SYS_mmap:
        return space_mmap(a[0], a[1], (int)a[2], (int)a[3], (int)a[4], (off_t)a[5]);
    case SYS_munmap:
        return space_munmap(a[0], a[1]);
    case SYS_mprotect:
        return space_mprotect(a[0], a[1], (int)a[2]);
    case SYS_pkey_mprotect:
        return space_pkey_mprotect(a[0], a[1], (int)a[2], (int)a[3]);
    case SYS_mremap:
        return space_mremap(a[0], a[1], a[2], (int)a[3], a[4]);
    case SYS_brk:
        return space_brk(a[0]);
    case SYS_madvise:
        return space_madvise(a[0], a[1], (int)a[2]);
    case SYS_process_madvise:
        if (a[4] == 0 && advice_discards((int)a[3]) && pidfd_is_self((int)a[0]))
            return advise_self(a[1], a[2], (int)a[3]);
        break;
    case SYS_shmat:
        return space_shmat((int)a[0], a[1], (int)a[2]);
    case SYS_shmdt:
        return space_shmdt(a[0]);
    case SYS_remap_file_pages:
        return space_remap_file_pages(a[0], a[1], (int)a[2], a[3], (int)a[4]);
    default:
        break;
    }
    *handled = false;
    return 0;
}
