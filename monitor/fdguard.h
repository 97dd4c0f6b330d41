/*
 * Descriptors of the monitor in the process of the program: kept above the program's limit, where it does not look.
 * Not for the program's descriptors.
 */
#ifndef MONITOR_FDGUARD_H
#define MONITOR_FDGUARD_H

#include <stdbool.h>

/* Once, before any descriptor is guarded: chooses the floor from RLIMIT_NOFILE. */
void fdguard_initialise(void);
/* Ours are from here on; the program's may be, too. */
unsigned fdguard_floor(void);
/* Moves `fd` to the floor or above, close-on-exec, and marks it as ours; the new number, or a negative errno and it is
 * closed. */
int fdguard_move(int fd);
/* close, close_range as the program may have them: ours stay. Negative errno as the kernel's. */
long fdguard_close(unsigned fd);
long fdguard_close_range(unsigned first, unsigned last, unsigned flags);
/* In a fork child: closes all of ours. */
void fdguard_close_ours(void);

#endif
