/*
 * The program's mprotect and pkey_mprotect.
 * Not for how a file mapping becomes memory (space_copy.c).
 */
#include <errno.h>

#include "monitor/space_private.h"
#include "runtime/pager.h"

#define PROT_SEMAPHORE 8 /* accepted, and means nothing */
#define KEYS_MAX       16

struct protect {
    uint64_t start, end; /* in the zone */
    int protection;      /* PROT_MASK */
    int key;             /* -1: mprotect */
    bool beyond;         /* the range asked for goes on beyond the zone */
};

static long protect_kernel(const struct protect *protect, uint64_t start, uint64_t end)
{
    if (protect->key == -1)
        return kernel_mprotect(start, end - start, protect->protection);
    return kernel_call(SYS_pkey_mprotect, (long)start, (long)(end - start), protect->protection, protect->key, 0, 0);
}

/* A file mapping becomes writable: memory, as far as it can be, the rest pinned. */
static long protect_file_writable(const struct protect *protect, uint64_t start, uint64_t end, uint32_t old)
{
    space_forget(start, end, false);
    long copied = protect->key > 0 ? 0 : space_copy_mapping(start, end, old, (uint32_t)protect->protection);
    if (copied < 0)
        return copied;
    uint64_t border = start + (uint64_t)copied;
    if (border < end) {
        long result = protect_kernel(protect, border, end);
        if (result < 0)
            return result;
        space_pin(border, end);
    }
    if (border > start) {
        struct space_entry entry = space_first(start, end)->entry;
        entry.mapping.offset += start - entry.mapping.start;
        entry.mapping.start = start;
        entry.mapping.end = border;
        entry.mapping.kind = SPACE_MEMORY;
        entry.mapping.nodes = 0;
        space_record(&entry);
        space_register(start, border);
    }
    space_protect(start, end, (uint32_t)protect->protection);
    return 0;
}

static long protect_part(const struct protect *protect, uint64_t start, uint64_t end,
                         const struct space_mapping *mapping)
{
    uint32_t old = mapping->protection, wanted = (uint32_t)protect->protection;
    if (mapping->kind == SPACE_FILE && space.shared && (wanted & PROT_WRITE))
        return protect_file_writable(protect, start, end, old);
    bool pin = protect->key > 0 && mapping->kind != SPACE_PINNED && space.shared;
    if (pin)
        space_forget(start, end, true); /* peers know nothing of keys */
    else if (mapping->nodes && (old & ~wanted) && space.distributed)
        pager_protect(start, end, wanted, mapping->nodes); /* what is added they learn by asking */
    long result = protect_kernel(protect, start, end);
    if (result < 0) {
        space_forget(start, end, true);
        return result;
    }
    if (pin)
        space_pin(start, end);
    space_protect(start, end, wanted);
    return 0;
}

static long protect_range(const struct protect *protect)
{
    uint64_t at = protect->start;
    while (at < protect->end) {
        const struct space_node *node = space_first(at, at + 1);
        if (node == NULL)
            return -ENOMEM;
        struct space_mapping mapping = node->entry.mapping;
        uint64_t end = mapping.end < protect->end ? mapping.end : protect->end;
        long result = space_tree_reserve(8);
        if (result == 0)
            result = protect_part(protect, at, end, &mapping);
        if (result < 0)
            return result;
        at = end;
    }
    return protect->beyond ? -ENOMEM : 0;
}

long space_pkey_mprotect(uint64_t address, size_t length, int protection, int key)
{
    const int grows = PROT_GROWSDOWN | PROT_GROWSUP;
    int growth = protection & grows;
    uint64_t bytes = page_up(length);
    bool refused = !page_aligned(address) || (length && (bytes == 0 || address + bytes < address)) || growth == grows ||
                   (protection & ~(PROT_MASK | PROT_SEMAPHORE | grows));
    if (refused || length == 0 || key < -1 || key >= KEYS_MAX) {
        if (key == -1)
            return kernel_call(SYS_mprotect, (long)address, (long)length, protection, 0, 0, 0);
        return kernel_call(SYS_pkey_mprotect, (long)address, (long)length, protection, key, 0, 0);
    }
    if (address >= SPAN_ZONE_END || growth == PROT_GROWSUP)
        return address >= SPAN_ZONE_END ? -ENOMEM : -EINVAL;
    struct protect protect = {
        .start = address, .end = address + bytes, .protection = protection & PROT_MASK, .key = key};
    protect.beyond = protect.end > SPAN_ZONE_END;
    if (protect.beyond)
        protect.end = SPAN_ZONE_END;
    long result = space_enter();
    if (result < 0)
        return result;
    if (growth) {
        const struct space_node *node = space_first(protect.start, protect.end);
        if (node == NULL)
            result = -ENOMEM;
        else if (!(node->entry.mapping.flags & (MAP_GROWSDOWN | MAP_STACK))) /* the first stack is MAP_STACK here */
            result = -EINVAL;
        else
            protect.start = node->entry.mapping.start;
    }
    if (result == 0)
        result = protect_range(&protect);
    space_leave();
    return result;
}

long space_mprotect(uint64_t address, size_t length, int protection)
{
    return space_pkey_mprotect(address, length, protection, -1);
}
