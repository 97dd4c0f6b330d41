/*
 * Zone: what the kernel has put into the span zone at exec, taken out of it before the program is
 * loaded. Not for the map of what comes there afterwards (monitor/space.h).
 */
#ifndef LD_SPAN_ZONE_H
#define LD_SPAN_ZONE_H

#include <stdint.h>

/* Unmaps [start, end): the kernel's own mapping of the program. */
void zone_remove(uint64_t start, uint64_t end);

/*
 * Moves the kernel's break out of the zone, to where it cannot grow, so that libc's malloc keeps
 * away from it. Ends with a message when anything is left in the zone: it would be overwritten by
 * the program.
 */
void zone_clear(void);

#endif
