/*
 * Binding the patcher to the program's memory: the map, /proc/self/mem, stub memory.
 * Not for deciding what is safe (syscall/patch.h).
 */
#ifndef MONITOR_PATCHING_H
#define MONITOR_PATCHING_H

#include <stdbool.h>
#include <stdint.h>

/* Once, before the program runs. */
void patching_initialise(void);
/* True when sites that dispatch catches are to be rewritten: wanted by the user, and this is home. Signal context. */
bool patching_wanted(void);
/* Tries to patch a site that has reached its number of calls, and remembers when that is no use. Any thread, also in a
 * signal frame. */
void patching_site(uint64_t site);
/* Home: a peer forwarded a call that returns to `after`. Its sites are counted like home's; the text that changes is
 * dropped on the peers, which fetch it again, jump and all. */
void patching_forwarded(uint64_t after);

#endif
