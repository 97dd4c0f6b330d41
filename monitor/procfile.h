/*
 * Reading small files of /proc without a stream: safe in a fork child and in a signal handler, whatever locks of the
 * monitor's libc other threads held. Paths should begin with /proc/thread-self: /proc/self is empty once the first
 * thread of the process has ended.
 */
#ifndef MONITOR_PROCFILE_H
#define MONITOR_PROCFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Calls `line` for each line (NUL-terminated, cut behind a long path) until it returns false. Negative errno when
 * unreadable. */
int procfile_lines(const char *path, bool (*line)(char *text, void *context), void *context);

#endif
