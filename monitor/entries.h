/*
 * Directory entries in the program's memory, as getdents64(2) leaves them. They may change while they are looked at.
 * At home; `entries_have_numbers` and `entries_quick` also with the program's FS base and vector registers.
 */
#ifndef MONITOR_ENTRIES_H
#define MONITOR_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "syscall/entry.h"

/* What the kernel's struct linux_dirent64 and the older struct linux_dirent begin with; the name comes behind the type,
 * or at once. */
struct entry_head {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    char rest[2];
} __attribute__((packed));

/* The first character of the name in entries as call `number` makes them. */
#define ENTRY_FIRST(head, number) ((head).rest[(number) == SYS_getdents64])

/* True when a name begins with a digit, or the `size` bytes of entries at `buffer` cannot be read. */
bool entries_have_numbers(uint64_t number, uint64_t buffer, long size);
/*
 * struct thread.quick at home: 0 when the call was getdents64 or getdents and is done. Else 1, and when entries were
 * read that have numbers thread->entries_bytes says how many bytes of them stand in the program's buffer.
 */
long entries_quick(struct registers *registers);
/* getdents(2), both of them: directories of /proc/self do not list the monitor's threads and descriptors. */
struct thread;
long entries_read(struct thread *thread, uint64_t number, const uint64_t a[6]);

#endif
