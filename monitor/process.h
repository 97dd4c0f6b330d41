/*
 * What the threads of one process share, and the calls that make and end processes and threads.
 * Not for the mechanics of one thread (monitor/thread.h).
 */
#ifndef MONITOR_PROCESS_H
#define MONITOR_PROCESS_H

#include <pthread.h>
#include <stdint.h>

#include "monitor/signal.h"
#include "monitor/thread.h"

#define ROBUST_LIMIT 2048 /* entries of a robust list that the kernel follows */

struct process {
    pthread_mutex_t lock; /* guards actions */
    struct signal_action actions[65];
    uint64_t known; /* signals whose entry is filled in */
};

extern struct process process_first;

/* clone(2) and its relatives for the thread, whose registers are given. Negative errno, or the child's id. */
long process_clone(struct thread *thread, struct registers *registers, uint64_t flags, uint64_t stack,
                   uint64_t parent_tid, uint64_t child_tid, uint64_t tls);
long process_clone3(struct thread *thread, struct registers *registers, uint64_t arguments, uint64_t size);

/* exit(2) of this thread: clear_child_tid, robust list, the last thread ends the session. */
_Noreturn void process_exit_thread(struct thread *thread, int status);
/* exit_group(2): statistics, peers, end. */
_Noreturn void process_exit(int status);
/* Before peers go: a child that shares this memory may need pages of theirs until it executes. */
void process_await_vforks(int timeout_ms);

/* execveat(2), AT_FDCWD and flags 0 for execve: negative errno, or no return. */
long process_exec(struct thread *thread, int directory, uint64_t path, uint64_t argv, uint64_t envp, int flags);

#endif
