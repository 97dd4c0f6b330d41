/* The program's memory, read and written by the monitor without faulting. Monitor domain; may wait for pages. */
#ifndef MONITOR_USER_H
#define MONITOR_USER_H

#include <stddef.h>
#include <stdint.h>

/* Copies a NUL-terminated string: its length, -EFAULT, or -ENAMETOOLONG when it does not fit `size`. */
long user_string(char *to, uint64_t from, size_t size);

#endif
