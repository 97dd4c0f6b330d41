/*
 * The table of call sites: open addressing, entries are only ever added.
 * Not for anything but counting. A full table means that further sites stay with dispatch, which is
 * right and slower.
 */
#include <stdatomic.h>
#include <stddef.h>

#include "syscall/site.h"

#define SITE_BITS 14u
#define SITE_ENTRIES                                                                                                   \
    (1u << SITE_BITS) /* 256 KiB, touched as far as used; libc and its rtld have 600 sites                             \
                         together */
#define SITE_PROBES 32u
#define SITE_GROUP_BITS                                                                                                \
    6u /* entries that the sites of one page of text start from: neighbours share a page of the table */

struct site_entry {
    _Atomic uint64_t site; /* 0: free */
    _Atomic uint32_t count;
    uint32_t reserved;
};

static struct site_entry entries[SITE_ENTRIES];

/* The entry of `site`, made when there is none; NULL: no room near where it belongs. */
static struct site_entry *entry_find(uint64_t site)
{
    uint64_t group = ((site >> 12) * 0x9e3779b97f4a7c15ul) >> (64u - SITE_BITS + SITE_GROUP_BITS);
    uint64_t within = (site * 0x9e3779b97f4a7c15ul) >> (64u - SITE_GROUP_BITS);
    uint64_t first = (group << SITE_GROUP_BITS) + within;
    for (uint64_t i = 0; i < SITE_PROBES; i++) {
        struct site_entry *entry = &entries[(first + i) & (SITE_ENTRIES - 1u)];
        uint64_t seen = atomic_load_explicit(&entry->site, memory_order_acquire);
        if (seen == 0 && atomic_compare_exchange_strong(&entry->site, &seen, site))
            return entry;
        if (seen == site)
            return entry;
    }
    return NULL;
}

bool site_hit(uint64_t site)
{
    struct site_entry *entry = entry_find(site);
    /* Looked at first, so that the counter of a busy site that stays with dispatch cannot come
     * round. */
    if (!entry || atomic_load_explicit(&entry->count, memory_order_relaxed) >= SITE_THRESHOLD)
        return false;
    return atomic_fetch_add_explicit(&entry->count, 1, memory_order_relaxed) == SITE_THRESHOLD - 1;
}

void site_refuse(uint64_t site)
{
    struct site_entry *entry = entry_find(site);
    if (entry)
        atomic_store_explicit(&entry->count, SITE_THRESHOLD, memory_order_relaxed);
}

void site_again(uint64_t site)
{
    struct site_entry *entry = entry_find(site);
    if (entry)
        atomic_store_explicit(&entry->count, 0, memory_order_relaxed);
}
