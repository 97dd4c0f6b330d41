/*
 * Job control reaches peers on home's machine: while home is stopped (SIGSTOP, Ctrl-Z) the program's threads here stand
 * still as well. Not for peers elsewhere, which cannot see it.
 *
 * The kernel tells nobody but the parent that a process is stopped, so it is looked at, several times a second, by the
 * peer's first thread.
 */
#ifndef MONITOR_SUSPEND_H
#define MONITOR_SUSPEND_H

#include <stdbool.h>
#include <sys/types.h>

#define SUSPEND_LOOK_MS 200

struct thread;

/* Peer, before its filter forbids opening files: whom to look at. */
void suspend_watch(pid_t home);
/* Is there somebody to look at? */
bool suspend_watches(void);
/* The look: has the threads stop, or go on. */
void suspend_look(void);
/* Signal context: the thread stands here while home is stopped, when `in_program`. */
void suspend_here(struct thread *thread, bool in_program);

#endif
