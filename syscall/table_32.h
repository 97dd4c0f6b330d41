/*
 * Calls of the 32-bit table, which a 64-bit program makes by int 0x80, as calls of ours.
 * Not for calls whose structures differ between the two: those are not there (ENOSYS).
 */
#ifndef SYSCALL_TABLE_32_H
#define SYSCALL_TABLE_32_H

#include <stdbool.h>
#include <stdint.h>

#define CALL_32_RESTART 0 /* restart_syscall */

/* `arguments` come as the registers EBX, ECX, EDX, ESI, EDI, EBP have them and leave as those of the x86-64 call whose
 * number is then in `*number`. False: there is none that does the same. */
bool call_32_translate(uint64_t *number, uint64_t arguments[6]);

#endif
