/*
 * The view: what the program sees of the session's processors and of itself in /proc and /sys.
 * Not for where threads run (monitor/session.h) nor for copying between the program's memory and
 * ours: paths and masks are the monitor's own copies.
 *
 * Processors are numbered through: those of home first, then those of node 1, and so on. All
 * functions run in the monitor domain at home, take at most one leaf lock, and return a negative
 * errno on failure; -ENOSYS stands for "not mine: let the kernel do it".
 */
#ifndef MONITOR_VIEW_H
#define MONITOR_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/wire.h"

/*
 * Sets what there is, before the program runs. With one node, and until it is called, the kernel's
 * view of processors is the program's.
 */
void view_initialise(unsigned node_count, const unsigned cpus_per_node[]);
/* In the child of a fork by the thread `maker`, after session_fork_child: one node, nothing locked, bound as its maker
 * was. */
void view_fork_child(pid_t maker);
/* Processors of the session, and the number of the first one of `node`. */
unsigned view_processor_count(void);
unsigned view_processor_first(unsigned node);
/* The process that the program is: at the start, and in the child of a fork. */
void view_pid_is(pid_t pid);
/* The file that the program was loaded from, as /proc/self/exe shows it: made absolute, without
 * links. */
void view_exe_path(const char *path);

/*
 * True when the functions below may have something to say about `path`. A test of a few bytes, for
 * any domain and without vector registers (monitor/view_quick.c).
 */
bool view_path_is_special(const char *path);

/*
 * open(2) of an absolute path: the program for its exe link, a snapshot for files that tell of
 * processors and of load. A descriptor, the lowest that is free, or -ENOSYS.
 */
int view_open(const char *path, int flags);
/* readlink(2), not NUL-terminated. The length or -ENOSYS. */
long view_readlink(const char *path, char *buffer, size_t size);
/* True when `path` is the exe link of this process or of one of its threads; copies the program's
 * path. */
bool view_exe_of(const char *path, char *exe, size_t size);

/*
 * sched_getaffinity(2) and sched_setaffinity(2) as the kernel has them, for a machine with the
 * session's processors. `pid` is 0 for the caller, a thread of this process, or any other, which is
 * the kernel's. What a thread asks for is recorded; whoever runs it gives it to its kernel. Size and mask count in
 * bytes.
 */
long view_sched_getaffinity(pid_t pid, size_t size, void *mask);
long view_sched_setaffinity(pid_t pid, size_t size, const void *mask);
/* The nodes that have processors that the thread may use, as bits; never 0. */
uint64_t view_affinity_nodes(pid_t tid);
/* Of the node's processors those that the thread has asked for, bit 0 for the node's first; 0: all, or more than there
 * are bits. */
uint64_t view_affinity_processors(pid_t tid, unsigned node);
/* Gives the kernel what the thread has asked for of all this machine's processors, in a session that got no peer. */
void view_affinity_bind(pid_t tid);
/* A thread inherits what its maker asked for, before it asks for something itself: what it asks for waits from
 * view_thread_begin to view_thread_created (`tid` negative: there is none). What is recorded of a thread that has ended
 * is forgotten. */
void view_thread_begin(void);
void view_thread_created(pid_t maker, pid_t tid);
void view_thread_ended(pid_t tid);
/* Before an exec of the calling thread: gives the kernel what was asked for of home's processors,
 * for the next program. */
void view_before_exec(pid_t tid);
/* The same where the session is carried on: as text, for the next ld-span to be told; false: nothing was asked for. */
bool view_affinity_tell(pid_t tid, char *text, size_t size);
void view_affinity_told(pid_t tid, const char *text);

#endif
