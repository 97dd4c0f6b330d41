/*
 * The mirror: what a peer has mapped of the program's address space, filled on demand from home's answers.
 * Not for home's map (monitor/space.h). The lock here is a leaf: its holders never wait for the network.
 */
#ifndef MONITOR_MIRROR_H
#define MONITOR_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/wire.h"

void mirror_initialise(void);
/* Maps what home answered (kinds memory and file) where it is not mapped yet, and registers it with the pager. */
int mirror_add(const struct wire_mapping *mapping);
/* Loop thread: WIRE_RANGE_DROP and WIRE_RANGE_PROTECT. */
void mirror_range(enum wire_type type, const struct wire_range *range);
/* Is the address mapped here with at least this protection (a fault that another thread has just repaired)? */
bool mirror_allows(uint64_t address, uint32_t protection);
/* Mapping generation: changes with each range message, so that an answer older than a drop is not mapped. */
uint64_t mirror_generation(void);
/* As mirror_add, but does nothing and returns -EAGAIN when the generation is no longer `generation`. */
int mirror_add_current(const struct wire_mapping *mapping, uint64_t generation);

#endif
