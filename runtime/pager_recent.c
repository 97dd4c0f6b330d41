/*
 * The faults of the last moment by thread, for those that want to know what a thread works with. Not for correctness:
 * who reads while the loop writes sees older faults among newer ones.
 */
#include <stdatomic.h>

#include "runtime/pager_private.h"

#define RECENT_FAULTS 64u
#define THREAD_BITS   24 /* no kernel has more threads */

/* Page and thread, in a ring; 0: none. */
static _Atomic uint64_t recent[RECENT_FAULTS];
static _Atomic uint32_t recent_next;

static uint64_t recent_at(uint32_t age)
{
    return atomic_load_explicit(&recent[(recent_next - age) % RECENT_FAULTS], memory_order_relaxed);
}

void pager_recent_add(const struct userfault_event *event)
{
    uint64_t entry = event->page << THREAD_BITS | (event->thread & ((1u << THREAD_BITS) - 1));
    atomic_store_explicit(&recent[recent_next % RECENT_FAULTS], entry, memory_order_relaxed);
    recent_next++;
}

void pager_recent_forget(void)
{
    for (unsigned i = 0; i < RECENT_FAULTS; i++)
        recent[i] = 0;
}

static bool faulted_since(uint32_t age, uint64_t page)
{
    for (uint32_t i = 1; i < age; i++)
        if (recent_at(i) >> THREAD_BITS == page)
            return true;
    return false;
}

uint32_t pager_recent_now(void)
{
    return atomic_load_explicit(&recent_next, memory_order_relaxed);
}

unsigned pager_recent(pid_t tid, uint32_t since, uint64_t *addresses, unsigned most)
{
    unsigned count = 0;
    uint32_t faults = pager_recent_now() - since;
    for (uint32_t age = 1; age <= RECENT_FAULTS && age <= faults && count < most; age++) {
        uint64_t entry = recent_at(age), page = entry >> THREAD_BITS;
        if (page == 0 || (entry & ((1u << THREAD_BITS) - 1)) != (uint64_t)tid || faulted_since(age, page))
            continue;
        addresses[count++] = page << PAGE_SHIFT;
    }
    return count;
}
