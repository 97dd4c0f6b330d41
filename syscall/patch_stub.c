/*
 * Stubs: the code that a patched site jumps to, and the memory it lies in.
 * Not for choosing what is displaced (syscall/patch_window.c).
 *
 *     [displaced instructions in front of the syscall]
 *     lea   back(%rip), %rcx
 *     jmp   *%gs:entry_offset
 *   back:
 *     [displaced instructions behind the syscall]
 *     jmp   resume
 *
 * RCX is free in front of a syscall instruction, which overwrites it; flags, stack and red zone
 * are not touched. A granule of stub memory belongs to one stub, so that an address finds its
 * record without a search.
 */
#include <stdlib.h>
#include <string.h>

#include "syscall/patch_private.h"

#define PAGE_SIZE_STUB 4096u
/* Pages in a row that have every address modulo 64 KiB, and one for an unlucky start. */
#define PUN_PAGES_MAX 17
#define REACH         0x7ff00000ul

struct stub_page {
    uint64_t address;
    struct patch_record *_Atomic owner[STUB_GRANULES];
};

static struct stub_page **pages;
static size_t page_count, page_capacity;
static struct address_map page_map;

struct emitter {
    uint64_t address; /* of bytes[0] */
    uint8_t bytes[STUB_BYTES_MAX];
    unsigned size;
    bool fits; /* every rel32 so far reached its target */
};

static void emit(struct emitter *emitter, const void *bytes, unsigned size)
{
    if (emitter->size + size > STUB_BYTES_MAX) {
        emitter->fits = false;
        return;
    }
    memcpy(emitter->bytes + emitter->size, bytes, size);
    emitter->size += size;
}

/* The 32-bit displacement from the instruction that ends `after` bytes behind the value to
 * `target`. */
static void emit_relative(struct emitter *emitter, uint64_t target, unsigned after)
{
    int64_t distance = (int64_t)(target - (emitter->address + emitter->size + 4 + after));
    int32_t value = (int32_t)distance;
    emitter->fits &= value == distance;
    emit(emitter, &value, sizeof value);
}

static void emit_displaced(struct emitter *emitter, const struct displaced *displaced, uint32_t entry_offset)
{
    static const uint8_t lea_rcx[] = {0x48, 0x8d, 0x0d, 8, 0, 0, 0};
    static const uint8_t jump_gs[] = {0x65, 0xff, 0x24, 0x25};
    const uint8_t conditional[] = {0x0f, (uint8_t)(0x80 | displaced->operand)};
    _Static_assert(sizeof lea_rcx + sizeof jump_gs + 4 == PATCH_STUB_PREAMBLE, "as the header says");
    switch (displaced->kind) {
    case DISPLACED_SYSCALL:
        emit(emitter, lea_rcx, sizeof lea_rcx);
        emit(emitter, jump_gs, sizeof jump_gs);
        emit(emitter, &entry_offset, sizeof entry_offset);
        break;
    case DISPLACED_RIP:
        emit(emitter, displaced->bytes, displaced->operand);
        emit_relative(emitter, displaced->target, displaced->length - displaced->operand - 4u);
        emit(emitter, displaced->bytes + displaced->operand + 4, displaced->length - displaced->operand - 4u);
        break;
    case DISPLACED_JUMP:
        emit(emitter, "\xe9", 1);
        emit_relative(emitter, displaced->target, 0);
        break;
    case DISPLACED_CONDITIONAL:
        emit(emitter, conditional, sizeof conditional);
        emit_relative(emitter, displaced->target, 0);
        break;
    default:
        emit(emitter, displaced->bytes, displaced->length);
        break;
    }
}

/* Builds the stub as it has to be at `address`, and what each of its instructions stands for. */
static void stub_build(const struct patch_window *window, uint64_t address, uint32_t entry_offset,
                       struct emitter *emitter, struct patch_record *record)
{
    emitter->address = address;
    emitter->size = 0;
    emitter->fits = true;
    record->place_count = 0;
    for (unsigned i = 0; i < window->count; i++) {
        record->places[record->place_count++] =
            (struct stub_place){(uint16_t)emitter->size, (int16_t)(window->displaced[i].address - window->start)};
        emit_displaced(emitter, &window->displaced[i], entry_offset);
    }
    if (!window->displaced[window->count - 1].ends) {
        record->places[record->place_count++] =
            (struct stub_place){(uint16_t)emitter->size, (int16_t)(window->resume - window->start)};
        emit(emitter, "\xe9", 1);
        emit_relative(emitter, window->resume, 0);
    }
    record->stub_bytes = (uint16_t)emitter->size;
    struct emitter jump = {.address = window->start, .fits = true};
    emit(&jump, "\xe9", 1);
    emit_relative(&jump, address, 0);
    emitter->fits &= jump.fits;
    memcpy(record->jump, jump.bytes, JUMP_BYTES);
}

static bool page_reaches(const struct stub_page *page, uint64_t start, uint64_t end)
{
    uint64_t low = page->address < start ? page->address : start;
    uint64_t high = page->address > end ? page->address : end;
    return high - low < REACH;
}

static struct stub_page *page_add(const struct patch_operations *operations, uint64_t start, uint64_t end)
{
    if (page_count == page_capacity) {
        size_t capacity = page_capacity ? page_capacity * 2 : 32;
        struct stub_page **larger = realloc(pages, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        pages = larger;
        page_capacity = capacity;
    }
    struct stub_page *page = calloc(1, sizeof *page);
    if (!page)
        return NULL;
    page->address = operations->stub_page(start, end);
    if (page->address == 0 || !address_map_set(&page_map, page->address, page)) {
        free(page);
        return NULL;
    }
    pages[page_count++] = page;
    return page;
}

/* Tries to put the stub into the page: the first granules that are free, and right for the jump. */
static bool page_place(struct stub_page *page, const struct patch_window *window, uint32_t entry_offset,
                       struct emitter *emitter, struct patch_record *record)
{
    unsigned free_run = 0;
    unsigned wanted = (record->stub_bytes + STUB_GRANULE - 1) / STUB_GRANULE;
    for (unsigned i = 0; i < STUB_GRANULES; i++) {
        free_run = page->owner[i] ? 0 : free_run + 1;
        if (free_run < wanted)
            continue;
        unsigned first = i + 1 - wanted;
        uint64_t address = page->address + first * STUB_GRANULE;
        uint64_t distance = address - (window->start + JUMP_BYTES);
        if (window->class == WINDOW_PUNNED && ((distance >> 8) & 0xff) != BREAKPOINT)
            continue;
        stub_build(window, address, entry_offset, emitter, record);
        if (!emitter->fits)
            return false;
        record->stub = address;
        for (unsigned j = first; j <= i; j++)
            atomic_store_explicit(&page->owner[j], record, memory_order_release);
        return true;
    }
    return false;
}

static bool stub_place(const struct patch_operations *operations, const struct patch_window *window,
                       uint32_t entry_offset, uint64_t map_start, uint64_t map_end, struct emitter *emitter,
                       struct patch_record *record)
{
    for (size_t i = 0; i < page_count; i++) {
        if (page_reaches(pages[i], map_start, map_end) && page_place(pages[i], window, entry_offset, emitter, record))
            return true;
    }
    unsigned more = window->class == WINDOW_PUNNED ? PUN_PAGES_MAX : 1;
    for (unsigned i = 0; i < more; i++) {
        struct stub_page *page = page_add(operations, map_start, map_end);
        if (!page)
            return false;
        if (page_place(page, window, entry_offset, emitter, record))
            return true;
    }
    return false;
}

static void stub_forget(struct patch_record *record)
{
    struct stub_page *page = address_map_get(&page_map, record->stub & ~(PAGE_SIZE_STUB - 1ul));
    for (unsigned i = 0; page && i < STUB_GRANULES; i++) {
        if (page->owner[i] == record)
            atomic_store_explicit(&page->owner[i], NULL, memory_order_release);
    }
}

struct patch_record *stub_make(const struct patch_operations *operations, const struct patch_window *window,
                               uint64_t site, uint32_t entry_offset, uint64_t map_start, uint64_t map_end)
{
    static struct emitter emitter;
    struct patch_record *record = calloc(1, sizeof *record);
    if (!record)
        return NULL;
    record->start = window->start;
    record->site = site;
    atomic_store_explicit(&record->writing, true, memory_order_relaxed);
    stub_build(window, window->start, entry_offset, &emitter, record); /* for its size */
    if (emitter.size > STUB_BYTES_MAX ||
        !stub_place(operations, window, entry_offset, map_start, map_end, &emitter, record)) {
        free(record);
        return NULL;
    }
    if (operations->write(record->stub, emitter.bytes, emitter.size) != 0) {
        /* Not freed: another thread's signal handler may have found it. Nothing will lead to it
         * again. */
        stub_forget(record);
        return NULL;
    }
    return record;
}

struct patch_record *stub_lookup(uint64_t address)
{
    struct stub_page *page = address_map_get(&page_map, address & ~(PAGE_SIZE_STUB - 1ul));
    if (!page)
        return NULL;
    uint64_t granule = (address & (PAGE_SIZE_STUB - 1)) / STUB_GRANULE;
    return atomic_load_explicit(&page->owner[granule], memory_order_acquire);
}
