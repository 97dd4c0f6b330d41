/*
 * execve: the next program runs under ld-span too, with the same options.
 *
 * The kernel is asked to execute ld-span itself, with our options and the program's path in front of its arguments.
 * What is not for us (files of another kind, set-user-ID programs, --no-follow) is executed as asked, so that the
 * kernel's answers, its errors and its privileges are the kernel's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/exec_check.h"
#include "monitor/fatal.h"
#include "monitor/process.h"
#include "monitor/sandbox.h"
#include "monitor/self.h"
#include "monitor/session.h"
#include "monitor/signal.h"
#include "monitor/user.h"
#include "monitor/view.h"

/* Counts a vector of string pointers of the program's. */
static long vector_count(uint64_t vector)
{
    uint64_t pointer;
    for (long count = 0; count < (1L << 22); count++) {
        if (user_copy(&pointer, (const void *)(vector + 8 * (uint64_t)count), sizeof pointer))
            return -EFAULT;
        if (!pointer)
            return count;
    }
    return -E2BIG;
}

#define AFFINITY_BYTES 2048             /* of processors as text */
#define PEERS_BYTES    (NODES_MAX * 12) /* of processes as text */

/* Our arguments in front of the program's: [ld-span options --executed PATH argv0 argv1 ...]. */
static long arguments_build(struct thread *thread, const char *path, uint64_t argv, char ***out)
{
    const struct session_configuration *configuration = session_configuration();
    long count = argv ? vector_count(argv) : 0;
    if (count < 0)
        return count;
    size_t bytes = (size_t)(count + (long)configuration->argument_count + 10) * sizeof(char *) + PATH_MAX +
                   AFFINITY_BYTES + PEERS_BYTES;
    char **vector = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vector == MAP_FAILED)
        return -ENOMEM;
    thread->exec_scratch = vector;
    thread->exec_scratch_bytes = bytes;
    char *copy = (char *)vector + bytes - PATH_MAX, *affinity = copy - AFFINITY_BYTES, *peers = affinity - PEERS_BYTES;
    snprintf(copy, PATH_MAX, "%s", path);
    size_t n = 0;
    vector[n++] = (char *)(uintptr_t) "ld-span";
    for (size_t i = 0; i < configuration->argument_count; i++)
        vector[n++] = configuration->arguments[i];
    if (view_affinity_tell(thread->tid, affinity, AFFINITY_BYTES)) {
        vector[n++] = (char *)(uintptr_t) "--affinity";
        vector[n++] = affinity;
    }
    if (session_peers_tell(peers, PEERS_BYTES)) {
        vector[n++] = (char *)(uintptr_t) "--peers";
        vector[n++] = peers;
    }
    if (sandbox_judges(thread))
        vector[n++] = (char *)(uintptr_t) "--filtered";
    vector[n++] = (char *)(uintptr_t) "--executed";
    vector[n++] = copy;
    if (count == 0)
        vector[n++] = (char *)(uintptr_t) ""; /* as the kernel */
    else if (user_copy(&vector[n], (const void *)argv, (size_t)count * sizeof(char *)))
        return -EFAULT;
    vector[n + (size_t)count] = NULL;
    *out = vector;
    return 0;
}

/*
 * A path that holds after the exec for a file named by a descriptor (and a path below it): its name where it has one,
 * or else a copy of the descriptor that is not closed by the exec.
 */
static long path_through_descriptor(int directory, char path[PATH_MAX], int *inherited)
{
    char link[64], target[PATH_MAX], joined[PATH_MAX];
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", directory);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0)
        return -EBADF;
    target[length] = 0;
    struct stat named, meant;
    bool has_name = target[0] == '/' && stat(target, &named) == 0 && fstat(directory, &meant) == 0 &&
                    named.st_dev == meant.st_dev && named.st_ino == meant.st_ino;
    if (!has_name) {
        *inherited = dup(directory);
        if (*inherited < 0)
            return -errno;
        snprintf(target, sizeof target, "/proc/self/fd/%d", *inherited);
    }
    int n = snprintf(joined, sizeof joined, *path ? "%s/%s" : "%s", target, path);
    if (n < 0 || n >= (int)sizeof joined)
        return -ENAMETOOLONG;
    memcpy(path, joined, (size_t)n + 1);
    return 0;
}

/*
 * Once the other threads are gone the kernel marks the mutexes of the robust list and waits for each page that it
 * touches; the one who brings pages is gone, too. So they are brought before: those that are shared with other
 * processes, and count after the exec, never leave home.
 */
static void robust_bring(struct thread *thread)
{
    uint64_t head[3], entry;
    uint32_t seen;
    if (!thread->robust_list || !session_distributed() ||
        user_copy(head, (const void *)thread->robust_list, sizeof head))
        return;
    if (head[0] == thread->robust_list && !head[2]) {
        syscall(SYS_set_robust_list, NULL, sizeof head);
        return;
    }
    entry = head[0] & ~1ul;
    for (int i = 0; i < ROBUST_LIMIT && entry != thread->robust_list; i++) {
        user_compare_exchange((uint32_t *)(entry + head[1]), 0, 0, &seen);
        if (user_copy(&entry, (const void *)entry, sizeof entry))
            return;
        entry &= ~1ul;
    }
    user_copy(head, (const void *)thread->robust_list, sizeof head);
}

static long exec_now(struct thread *thread, int directory, const char *path, char *const *argv, uint64_t envp,
                     int flags, bool follows)
{
    cpu_set_t processors;
    bool known = sched_getaffinity(0, sizeof processors, &processors) == 0;
    signal_before_exec(thread->process);
    if (follows)
        session_unpin();
    if (!follows)
        view_before_exec(thread->tid);
    uint64_t mask = thread->mask;
    if (atomic_load(&thread->pending) & PENDING_SIGNAL)
        mask |= ~SIGNALS_SYNCHRONOUS; /* the call is cut short at once */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    /* Cut short by a signal that comes now: the handler first, then the call once more. */
    robust_bring(thread);
    const uint64_t arguments[6] = {(uint64_t)directory, (uint64_t)path, (uint64_t)argv, envp, (uint64_t)flags};
    long result = syscall_interruptible(SYS_execveat, arguments);
    if (thread->robust_list)
        syscall(SYS_set_robust_list, thread->robust_list, 24);
    signal_after_exec(thread->process);
    if (!(atomic_load(&thread->pending) & PENDING_SIGNAL))
        thread_set_mask(thread->mask & ~SIGNALS_OURS);
    if (known)
        sched_setaffinity(0, sizeof processors, &processors);
    return result;
}

static void scratch_free(struct thread *thread)
{
    if (thread->exec_scratch)
        munmap(thread->exec_scratch, thread->exec_scratch_bytes);
    thread->exec_scratch = NULL;
}

long process_exec(struct thread *thread, int directory, uint64_t path_address, uint64_t argv, uint64_t envp, int flags)
{
    char path[PATH_MAX];
    long length = user_string(path, path_address, sizeof path);
    if (length < 0)
        return length;
    if (length == 0 && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    char exe[PATH_MAX];
    if (view_path_is_special(path) && view_exe_of(path, exe, sizeof exe))
        snprintf(path, sizeof path, "%s", exe);
    bool ours;
    long result = exec_check(directory, path, flags, &ours);
    if (result < 0)
        return result;
    if (!ours || thread->traced)
        return exec_now(thread, directory, path, (char *const *)argv, envp, flags, false);

    int inherited = -1;
    if (directory != AT_FDCWD && path[0] != '/') {
        result = path_through_descriptor(directory, path, &inherited);
        if (result < 0)
            return result;
    }
    int self = self_open();
    if (self < 0) {
        if (inherited >= 0)
            close(inherited);
        return exec_now(thread, AT_FDCWD, path, (char *const *)argv, envp, 0, false);
    }
    char **vector;
    result = arguments_build(thread, path, argv, &vector);
    if (result == 0)
        result = exec_now(thread, self, "", vector, envp, AT_EMPTY_PATH, true);
    close(self);
    if (inherited >= 0)
        close(inherited);
    scratch_free(thread);
    return result;
}
