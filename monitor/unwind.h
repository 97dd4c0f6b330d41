/*
 * Call chains of threads of another process, whose registers are known: by libunwind, with the unwind tables of the
 * files that the process has mapped, which need not have symbols.
 * Not for stopping it: memory is read while it runs, and what changes meanwhile may make a chain end early.
 */
#ifndef MONITOR_UNWIND_H
#define MONITOR_UNWIND_H

#include <stdint.h>
#include <sys/types.h>

#include "runtime/wire.h"

struct unwind;

struct unwind_frame {
    uint64_t address;   /* the instruction; of callers the one that is returned to */
    uint64_t offset;    /* into the function */
    char function[128]; /* empty: not known */
    const char *file;   /* of the mapping, until unwind_close; empty: none */
};

/* Reads the process's mappings. NULL and errno: there is no such process, or it may not be looked at. */
struct unwind *unwind_open(pid_t pid);
void unwind_close(struct unwind *unwind);
/* The frames of a thread, innermost first: how many of `room`. Reading a page of a session may have to wait for a node.
 */
unsigned unwind_walk(struct unwind *unwind, const uint64_t registers[WIRE_REPORT_REGISTERS],
                     struct unwind_frame *frames, unsigned room);

#endif
