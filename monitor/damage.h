/*
 * Damaged files: a fault of the rtld itself, told as what it is.
 * Not for the program's own faults, which are its signals.
 */
#ifndef MONITOR_DAMAGE_H
#define MONITOR_DAMAGE_H

#include <signal.h>
#include <stdint.h>

/* Where the rtld is; 0, 0: there is none. Before the program runs. */
void damage_rtld_range(uint64_t start, uint64_t end);
/* A fault that no handler takes, at `instruction`. Ends the process with a line and 127 when the rtld made it. */
void damage_judge(const siginfo_t *info, uint64_t instruction);

#endif
