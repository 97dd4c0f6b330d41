/*
 * What execve would say to a file, as far as it can be told before the old program is gone; and whether the next
 * program is one for ld-span.
 */
#ifndef MONITOR_EXEC_CHECK_H
#define MONITOR_EXEC_CHECK_H

#include <stdbool.h>

/*
 * `directory`, `path` and `flags` as for execveat(2), the path in our memory. 0 and `*ours`: true when it is to run
 * under ld-span, false when the kernel is to execute it as asked; or the negative errno that execve gives.
 */
long exec_check(int directory, const char *path, int flags, bool *ours);

#endif
