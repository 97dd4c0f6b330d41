/*
 * Rewriting call sites: the interface, and writing the jump while other threads may run the code.
 * Not for the decisions: syscall/patch_function.c (where the function starts),
 * syscall/patch_window.c (what may be overwritten), syscall/patch_stub.c (what is executed
 * instead), syscall/patch_record.c (what has been done).
 *
 * What is guaranteed. A thread of the program is, at any time, at an instruction boundary: in user
 * mode, in a signal handler of ours that will resume it at one, or in a call that will return to
 * one. The boundary may be
 *
 * the first byte of the window:
 *     It meets the old instruction, a breakpoint, or the jump; never a mixture, because the first
 *     byte is a breakpoint while the others change, and each step is followed by
 *     membarrier(SYNC_CORE), after which no processor executes what it fetched before (Intel SDM
 *     3A, "Handling Self- and Cross-Modifying Code"). The breakpoint leads to patch_trap, which
 *     goes on in the stub: it is complete before the first byte changes.
 * inside a *free* window:
 *     There is none.
 * inside a *punned* window, which is byte 2 of it:
 *     A thread that is preempted there, that returns from a signal handler to there, or whose call
 *     was dispatched before and returns now. Byte 2 becomes a breakpoint before the bytes behind
 *     it change, and it stays one for ever, because the jump's displacement has that byte.
 *     patch_trap goes on at the same place in the stub.
 * inside a *quiet* window:
 *     Only patched while one thread of the program exists. That thread is in the monitor; the
 *     addresses it may resume at are its return address and those in the frames of signal handlers
 *     it is in, and both go through patch_translate_return.
 *
 * A window may cross a page boundary: the order above holds for each byte.
 */
#include <assert.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscall/patch_private.h"

static struct patch_operations operations;
static uint32_t entry_offset;
static _Atomic bool locked;
static _Atomic uint64_t count_patched, count_doubtful;

void patch_initialise(const struct patch_operations *given, uint32_t offset)
{
    assert(given->mapping && given->read && given->write && given->stub_page && given->concurrent);
    assert(offset <= INT32_MAX);
    operations = *given;
    entry_offset = offset;
}

static bool lock_try(void)
{
    return !atomic_exchange_explicit(&locked, true, memory_order_acquire);
}

static void lock_release(void)
{
    assert(locked);
    atomic_store_explicit(&locked, false, memory_order_release);
}

void patch_fork_prepare(void)
{
    while (!lock_try())
        syscall(SYS_sched_yield);
}

void patch_fork_done(void)
{
    lock_release();
}

/* ---- writing the jump ---- */

static bool processors_synchronise(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0)
        return true;
    /* Once for each address space; a forked child may have to again. */
    return errno == EPERM && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0 &&
           syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == 0;
}

static bool jump_write_concurrent(const struct patch_record *record, bool punned)
{
    static const uint8_t breakpoint = BREAKPOINT;
    const uint64_t start = record->start;
    if (operations.write(start, &breakpoint, 1) != 0)
        return false;
    if (punned && operations.write(start + 2, &breakpoint, 1) != 0)
        return false;
    processors_synchronise();
    if (operations.write(start + 1, record->jump + 1, JUMP_BYTES - 1) != 0)
        return false;
    processors_synchronise();
    if (operations.write(start, record->jump, 1) != 0)
        return false;
    return processors_synchronise();
}

static enum patch_result site_write(struct patch_record *record, enum window_class class, bool concurrent)
{
    assert(class != WINDOW_PUNNED || record->jump[2] == BREAKPOINT);
    assert(!concurrent || class != WINDOW_QUIET);
    if (concurrent && !processors_synchronise())
        return PATCH_DOUBTFUL;
    if (operations.read(record->start, record->original, JUMP_BYTES) != JUMP_BYTES || !record_add(record))
        return PATCH_NO_ROOM;
    bool written = concurrent ? jump_write_concurrent(record, class == WINDOW_PUNNED)
                              : operations.write(record->start, record->jump, JUMP_BYTES) == 0;
    if (!written) {
        /* Halfway the breakpoints keep it right, and the record keeps them ours: it stays marked as
         * being written. */
        return PATCH_DOUBTFUL;
    }
    atomic_store_explicit(&record->writing, false, memory_order_release);
    return PATCH_DONE;
}

static enum patch_result site_patch(uint64_t site)
{
    uint64_t map_start, map_end, object_start, object_end;
    struct patch_function function;
    static struct patch_window window;
    if (!operations.mapping(site, &map_start, &map_end, &object_start, &object_end) || object_start == 0)
        return PATCH_DOUBTFUL; /* generated code may be generated anew at any time */
    if (record_of_site(&operations, site))
        return PATCH_DONE;
    const bool concurrent = operations.concurrent();
    if (!function_find(&operations, site, object_start, map_start, map_end, &function) ||
        window_choose(&operations, site, &function, map_start, map_end, !concurrent, &window) == WINDOW_NONE)
        return PATCH_DOUBTFUL;
    assert(window.start >= function.start && window.start <= site && window.count > 0);
    struct patch_record *record = stub_make(&operations, &window, site, entry_offset, map_start, map_end);
    if (!record)
        return PATCH_NO_ROOM;
    return site_write(record, window.class, concurrent);
}

enum patch_result patch_site(uint64_t site)
{
    if (!lock_try())
        return PATCH_AGAIN;
    enum patch_result result = site_patch(site);
    if (result == PATCH_DONE)
        atomic_fetch_add_explicit(&count_patched, 1, memory_order_relaxed);
    else if (result == PATCH_DOUBTFUL)
        atomic_fetch_add_explicit(&count_doubtful, 1, memory_order_relaxed);
    lock_release();
    return result;
}

void patch_counters(uint64_t *sites_patched, uint64_t *sites_doubtful)
{
    *sites_patched = atomic_load_explicit(&count_patched, memory_order_relaxed);
    *sites_doubtful = atomic_load_explicit(&count_doubtful, memory_order_relaxed);
}

/* ---- for signal handlers ---- */

uint64_t patch_translate(uint64_t address)
{
    const struct patch_record *record = stub_lookup(address);
    if (!record || address >= record->stub + record->stub_bytes)
        return 0;
    unsigned i = record->place_count - 1u;
    while (i > 0 && record->stub + record->places[i].offset > address)
        i--;
    return record->start + (uint64_t)(int64_t)record->places[i].program;
}

/* The place in the stub that stands for the boundary `address` in the window; 0: none does. */
static uint64_t place_in_stub(const struct patch_record *record, uint64_t address)
{
    for (unsigned i = 0; i < record->place_count; i++) {
        if (record->start + (uint64_t)(int64_t)record->places[i].program == address)
            return record->stub + record->places[i].offset;
    }
    return 0;
}

uint64_t patch_translate_return(uint64_t address)
{
    const struct patch_record *record = record_lookup(&operations, address);
    if (!record || address == record->start)
        return address;
    uint64_t place = place_in_stub(record, address);
    return place ? place : address;
}

bool patch_trap(uint64_t address, uint64_t *resume)
{
    const struct patch_record *record = record_lookup(&operations, address);
    uint64_t place = record ? place_in_stub(record, address) : 0;
    if (place == 0)
        return false;
    *resume = place;
    return true;
}
