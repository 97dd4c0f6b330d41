/*
 * What the files of the address-space map share: its state, the tree of mappings, and changes of
 * ranges. Not for anyone else: monitor/space.h is the interface.
 *
 * All functions here are called with the space lock held, except where they say otherwise, in the
 * monitor domain. Ranges are page aligned, end exclusive, inside the span zone.
 */
#ifndef MONITOR_SPACE_PRIVATE_H
#define MONITOR_SPACE_PRIVATE_H

#include <sys/mman.h>
#include <sys/stat.h>

#include "monitor/space.h"
#include "runtime/kernel.h"
#include "runtime/lock.h"

#define SPACE_TOP            0x6ffff0000000ul /* addresses are chosen downwards from here, less a random offset */
#define SPACE_RANDOM_BYTES   (1ul << 30)
#define SPACE_LOW_START      0x40000000ul /* MAP_32BIT, as in the kernel */
#define SPACE_LOW_END        0x80000000ul
#define SPACE_HUGE_BYTES     (2ul << 20)
#define SPACE_STACK_GAP      (1ul << 20) /* kept free below MAP_GROWSDOWN, as the kernel's stack_guard_gap */
#define SPACE_COPY_BYTES_MAX (1ul << 30) /* larger file mappings stay file mappings, pinned */
#define SPACE_WINDOW_BYTES   (1ul << 30) /* what one answer to a peer covers at most */

#define PROT_MASK (PROT_READ | PROT_WRITE | PROT_EXEC)
/* Missing from older headers. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static inline uint64_t page_down(uint64_t address)
{
    return address & ~(uint64_t)(PAGE_BYTES - 1);
}
static inline uint64_t page_up(uint64_t address)
{
    return page_down(address + PAGE_BYTES - 1);
}
static inline bool page_aligned(uint64_t address)
{
    return (address & (PAGE_BYTES - 1)) == 0;
}

/* One mapping and what only the map itself needs to know of it. */
struct space_entry {
    struct space_mapping mapping;
    uint64_t origin; /* 0: anonymous; else one number for each call that mapped a file: such entries
                        merge only with their own */
    bool not_forked; /* the program wants no copy of it in its children (MADV_DONTFORK) */
    bool system_v;   /* shmat: object is the address of the attachment */
};

struct space {
    struct lock lock;
    bool shared;      /* the session has peers */
    bool distributed; /* a peer is in use: memory is registered with the pager */
    uint64_t top;     /* addresses are chosen below */
    uint64_t brk_start, brk;
    uint64_t origins; /* given out so far */
    unsigned growing; /* MAP_GROWSDOWN has been used: the kernel may have mapped more than we know */
};
extern struct space space;

/* Takes the lock and makes sure that changes of the map cannot run out of memory. 0, or -ENOMEM and
 * no lock. */
int space_enter(void);
void space_leave(void);

/* ---- space_tree.c: the mappings, ordered by address ----------------------------------- */

struct space_node {
    struct space_entry entry;
    struct space_node *left, *right;
    uint64_t low, high; /* of the subtree: lowest start, highest end */
    uint64_t gap;       /* largest hole between two mappings of the subtree */
    uint32_t priority;
};

/* Makes `count` nodes available without further allocation. 0 or -ENOMEM. */
int space_tree_reserve(size_t count);
/* A reserved node, to be filled in and inserted. */
struct space_node *space_tree_node(void);
void space_tree_insert(struct space_node *node);
/* Takes the node out and frees it. */
void space_tree_remove(struct space_node *node);
/* Changes the range of a node; its place in the order must stay the same. */
void space_tree_resize(struct space_node *node, uint64_t start, uint64_t end);
/* The first mapping that ends after `address`, NULL. */
struct space_node *space_tree_from(uint64_t address);
/* The last mapping that starts before `address`, NULL. */
struct space_node *space_tree_before(uint64_t address);
/* End of the highest hole of at least `bytes` inside [floor, ceiling), 0 when there is none. */
uint64_t space_tree_hole(uint64_t floor, uint64_t ceiling, uint64_t bytes);
size_t space_tree_count(void);

/* ---- space.c: ranges of the map ------------------------------------------------------- */

/* The first entry that overlaps [start, end), NULL. */
struct space_node *space_first(uint64_t start, uint64_t end);
static inline bool space_is_free(uint64_t start, uint64_t end)
{
    return space_first(start, end) == NULL;
}
/* Puts one entry over whatever the map has there, and merges it with its neighbours. Three nodes at
 * most. */
void space_record(const struct space_entry *entry);
/* Takes the range out of the map. Two nodes at most. */
void space_erase(uint64_t start, uint64_t end);
/* Calls `change` for each entry inside the range, cut to it, then merges. Two nodes at most. */
void space_change(uint64_t start, uint64_t end, void (*change)(struct space_entry *entry, const void *argument),
                  const void *argument);
void space_protect(uint64_t start, uint64_t end, uint32_t protection);
void space_pin(uint64_t start, uint64_t end);
/* After a call of the kernel failed that may have unmapped the range: takes out what is no longer
 * there. */
void space_resync(uint64_t start, uint64_t end);
/* Is [start, start + bytes) free, below `end`, and far enough from a growing stack? */
bool space_fits(uint64_t start, uint64_t bytes, uint64_t end);
/*
 * A free range as the kernel would choose it: the hint when it is free, else the highest hole.
 * `align` is a power of two. `flags`: MAP_32BIT matters. `skip`: holes at or above this address
 * have been tried, 0: none. The start, or -ENOMEM.
 */
long space_choose(uint64_t hint, uint64_t bytes, uint64_t align, int flags, uint64_t skip);
/* Maps private anonymous memory where the map has nothing, and records it. 0 or a negative errno.
 */
long space_map_memory(uint64_t start, uint64_t end, int protection, enum space_kind kind);
/* MEMORY at [start, end) that has just been mapped goes under the pager when peers are in use;
 * pinned when that fails. */
void space_register(uint64_t start, uint64_t end);

/* ---- space_nodes.c: peers ------------------------------------------------------------- */

/* Do peers know any part of the range? */
bool space_known(uint64_t start, uint64_t end);
/* Peers forget the range, and wait until they have. `keep`: contents come home, else they are lost.
 * Two nodes at most. */
void space_forget(uint64_t start, uint64_t end, bool keep);

/* ---- space_copy.c: file contents as private memory ------------------------------------ */

struct space_copy {
    uint64_t start;         /* in the runtime zone */
    uint64_t memory, bytes; /* [0, memory) is anonymous and filled, [memory, bytes) is the file
                               mapping beyond its end */
};

/*
 * Without the lock. Builds what mmap of a private writable file mapping would give, in the runtime
 * zone. The errors are the kernel's. `copy->memory` is 0 and nothing is mapped when the file cannot
 * be copied: it has to be mapped itself.
 */
long space_copy_file(uint64_t bytes, int protection, int flags, int fd, off_t offset, const struct stat *status,
                     struct space_copy *copy);
/* Unmaps the copy unless it has been placed or there is none. Without the lock or with it. */
void space_copy_discard(struct space_copy *copy);
/* Moves the copy to `target`, over what is there. 0 or negative errno; in both cases there is
 * nothing left to discard. */
long space_copy_place(struct space_copy *copy, uint64_t target);
/* Size of the pages of a file on hugetlbfs, 0 for others. Without the lock or with it. */
uint64_t space_file_huge_bytes(int fd, const struct stat *status);
/*
 * Replaces a private file mapping by memory with the same contents and `protection`. Returns how
 * many bytes of it have been replaced (less than all when the rest is beyond the end of the file,
 * or cannot be copied), or a negative errno.
 */
long space_copy_mapping(uint64_t start, uint64_t end, uint32_t old_protection, uint32_t protection);

/* The same from other contents: `source` in the runtime zone has as many bytes. 0 or negative errno. */
long space_copy_again(uint64_t start, uint64_t end, uint64_t source, uint32_t protection);

/* A file of which [offset, offset + bytes) has been copied: keeps a view of it. Without the lock. */
void space_view_add(const struct stat *status, uint64_t offset, uint64_t bytes, int fd);
/* The address of a view of that part of a file, 0: there is none. Without the lock or with it. */
uint64_t space_view_find(uint64_t device, uint64_t inode, uint64_t offset, uint64_t bytes);

/* ---- system calls --------------------------------------------------------------------- */

static inline long kernel_mmap(uint64_t address, uint64_t bytes, int protection, int flags, int fd, off_t offset)
{
    return kernel_call(SYS_mmap, (long)address, (long)bytes, protection, flags, fd, offset);
}
static inline long kernel_munmap(uint64_t address, uint64_t bytes)
{
    return kernel_call(SYS_munmap, (long)address, (long)bytes, 0, 0, 0, 0);
}
static inline long kernel_mprotect(uint64_t address, uint64_t bytes, int protection)
{
    return kernel_call(SYS_mprotect, (long)address, (long)bytes, protection, 0, 0, 0);
}
static inline long kernel_mremap(uint64_t address, uint64_t old_bytes, uint64_t new_bytes, int flags, uint64_t target)
{
    return kernel_call(SYS_mremap, (long)address, (long)old_bytes, (long)new_bytes, flags, (long)target, 0);
}

#endif
