/*
 * The rows of the system call table that change the program's mappings, handed to the address-space
 * map. Not for calls that only look at memory or lock it (msync, mincore, mlock): those are the
 * kernel's.
 */
#ifndef MONITOR_MEMORY_CALLS_H
#define MONITOR_MEMORY_CALLS_H

#include <stdbool.h>

/*
 * At home, monitor domain: carries out call `number` and returns its result or a negative errno,
 * with `*handled` true; or sets `*handled` false when the kernel is to carry it out unchanged.
 * Takes the space lock, may wait for peers.
 */
long memory_call(unsigned number, const unsigned long arguments[6], bool *handled);

#endif
