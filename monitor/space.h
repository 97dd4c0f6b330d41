/*
 * The address-space map at home: every mapping of the program, and the calls that change it.
 * Not for pages (the pager's) nor for what peers have mapped (monitor/mirror.h).
 *
 * The program's calls below have the semantics, results and negative errnos of the kernel's of the same name, for a
 * program that owns the span zone: an address is never chosen outside it, and a request for one outside gets what the
 * kernel gives for addresses beyond the task size (-ENOMEM, or -EINVAL as the call has it). They take the space lock,
 * and hold it while peers acknowledge (pager_drop and friends), so that a peer's lookup sees before or after, never
 * between. Whoever holds the space lock must not touch the program's memory by load or store.
 */
#ifndef MONITOR_SPACE_H
#define MONITOR_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/wire.h"

enum space_kind {
    SPACE_MEMORY, /* private anonymous (a private writable file mapping is turned into this when nodes may share it) */
    SPACE_FILE,   /* private, read-only, of a file */
    SPACE_PINNED, /* shared or otherwise not coherent: stays at home */
};

struct space_mapping {
    uint64_t start, end;
    uint32_t protection; /* PROT_* */
    uint32_t flags;      /* MAP_* as asked, without MAP_FIXED* */
    uint8_t kind;        /* enum space_kind */
    uint8_t reserved[7];
    uint64_t nodes;  /* bit mask of peers that have looked it up: they must be told when it changes */
    uint64_t object; /* start of the file's first mapping of the same load, 0 when not of a file */
    uint64_t offset; /* in the file */
    uint64_t device, inode;
};

/* Once, before the program is loaded. `shared`: the session has peers, so private writable file mappings become memory.
 */
void space_initialise(bool shared);

/* brk: the heap starts at `start` (page aligned), set by the loader once. */
void space_brk_start(uint64_t start);
uint64_t space_brk_first(void);
uint64_t space_brk_now(void);

long space_mmap(uint64_t address, size_t length, int protection, int flags, int fd, off_t offset);
long space_munmap(uint64_t address, size_t length);
long space_mprotect(uint64_t address, size_t length, int protection);
long space_pkey_mprotect(uint64_t address, size_t length, int protection, int key);
long space_mremap(uint64_t address, size_t old_length, size_t new_length, int flags, uint64_t new_address);
long space_brk(uint64_t address);
long space_madvise(uint64_t address, size_t length, int advice);
long space_shmat(int id, uint64_t address, int flags);
long space_shmdt(uint64_t address);
long space_remap_file_pages(uint64_t address, size_t length, int protection, size_t page_offset, int flags);

/* Memory of ours in the span zone, near [near_start, near_end) (0, 0: anywhere), seen by all nodes: stubs, the vDSO. */
long space_map_near(size_t length, int protection, uint64_t near_start, uint64_t near_end);

bool space_lookup(uint64_t address, struct space_mapping *out);
/* Calls `visit` for each mapping in order, under the lock, until it returns false. */
void space_each(bool (*visit)(const struct space_mapping *mapping, void *context), void *context);

/* A thread on peer `node` touched `address`: what it may map there, and a record that the peer knows. */
void space_peer_lookup(unsigned node, const struct wire_fault *fault, struct wire_mapping *out);

/* Around the start of peers that begin as copies of this process: they get no copy of the program's memory. Besides the
 * time, a copy would leave every page marked as shared, long after the peer has thrown it away, and the kernel moves
 * only pages that are not. The map cannot change in between. */
void space_copy_prevent(void);
void space_copy_allow(void);
/* The first peer is in use: everything coherent goes under userfaultfd. Once; later mappings follow by themselves. */
int space_distribute(void);
/* Around fork: the lock is held so that the child's copy is consistent. In the child the map is local again. */
void space_fork_prepare(void);
void space_fork_parent(void);
void space_fork_child(void);

/* Drops what peers hold of the pages of a range that home has just changed behind the protocol's back (patched text).
 */
void space_text_changed(uint64_t start, uint64_t end);

#endif
