/*
 * Binding the patcher to the program's memory: the map, /proc/self/mem, stub memory.
 * Not for deciding what is safe (syscall/patch.h).
 */
#ifndef MONITOR_PATCHING_H
#define MONITOR_PATCHING_H

#include <stdbool.h>

/* Once, before the program runs. */
void patching_initialise(void);
/* True when sites that dispatch catches are to be rewritten: wanted by the user, and this is home. Signal context. */
bool patching_wanted(void);

#endif
