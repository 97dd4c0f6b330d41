/*
 * What the patcher needs from a monitor, made from this process itself, for the tests of
 * syscall/patch.c. Not a test: see test_patch.c and test_patch_threads.c.
 */
#ifndef TESTS_UNIT_PATCH_WORLD_H
#define TESTS_UNIT_PATCH_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscall/patch.h"

/* What %gs points to in place of struct thread; the offsets are those of patch_shapes.S. */
struct fake_thread {
    struct fake_thread *self;
    void (*entry)(void);
    uint64_t unused[4];
    uint64_t return_address; /* 48 */
    uint64_t calls;          /* 56 */
};

#define WORLD_ENTRY_OFFSET 8

void fake_entry(void);

/* Once in each process: registers the operations, handles SIGTRAP. `concurrent`: what to tell the
 * patcher. */
void world_start(bool concurrent);
/* The calling thread gets %gs and an alternate signal stack. */
void world_thread(struct fake_thread *thread);
/* Reads the list of mappings again: after mapping something executable. */
void world_mappings(void);
/* Makes stub memory run out. */
void world_no_room(bool yes);
uint64_t world_traps(void);

#endif
