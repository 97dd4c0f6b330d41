/*
 * Descriptors of the monitor: raised out of the program's way, and known as ours.
 * Not for what the program may do with the others (monitor/fdguard.h).
 *
 * Any thread; neither allocates nor locks.
 */
#ifndef RUNTIME_DESCRIPTOR_H
#define RUNTIME_DESCRIPTOR_H

#include <stdbool.h>

#define DESCRIPTOR_MAX (1u << 20) /* numbers from here on are never ours */

/*
 * Moves `fd` to `floor` or above (0: it stays where it is), close-on-exec, and marks it. The new number, or a negative
 * errno and `fd` is closed; a negative `fd` is handed back.
 */
int descriptor_raise(int fd, int floor);
/* Closes a descriptor, marked or not. */
void descriptor_close(int fd);
bool descriptor_is_ours(unsigned fd);
/* The lowest marked descriptor that is `from` or more, DESCRIPTOR_MAX: none. */
unsigned descriptor_next(unsigned from);
/* From now on, or no more, nothing is closed nor unmarked: in a fork child whose table is also its parent's
 * (CLONE_FILES). */
void descriptor_borrow(bool on);
/* In the child of a fork: closes all that are marked. */
void descriptor_close_all(void);

#endif
