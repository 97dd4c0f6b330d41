/*
 * What has been patched: records by address, for the patcher and for signal handlers that meet a
 * patched window. Not for stub memory (syscall/patch_stub.c).
 *
 * Objects are unmapped and others mapped in their place without anybody telling us. So a record is
 * a hint that is compared with the bytes in memory before it is believed.
 */
#include <stdlib.h>
#include <string.h>

#include "syscall/patch_private.h"

#define SLOTS_FIRST 256u

struct address_slot {
    _Atomic uint64_t key; /* 0: empty */
    void *_Atomic value;
};

struct address_slots {
    uint64_t capacity, used;
    struct address_slot slot[];
};

static struct address_map records;
/* All records in the order in which they were made, for overlays. */
static struct patch_record **list;
static size_t list_count, list_capacity;

/* ---- a map that readers may use at any time ---- */

static struct address_slot *slot_find(struct address_slots *slots, uint64_t key)
{
    uint64_t at = (key * 0x9e3779b97f4a7c15ul) >> 20;
    for (;; at++) {
        struct address_slot *slot = &slots->slot[at & (slots->capacity - 1)];
        uint64_t seen = atomic_load_explicit(&slot->key, memory_order_acquire);
        if (seen == key || seen == 0)
            return slot;
    }
}

static void slot_fill(struct address_slots *slots, uint64_t key, void *value)
{
    struct address_slot *slot = slot_find(slots, key);
    slots->used += slot->key == 0;
    atomic_store_explicit(&slot->value, value, memory_order_release);
    atomic_store_explicit(&slot->key, key, memory_order_release);
}

bool address_map_set(struct address_map *map, uint64_t key, void *value)
{
    struct address_slots *slots = atomic_load_explicit(&map->slots, memory_order_relaxed);
    if (!slots || slots->used * 2 >= slots->capacity) {
        uint64_t capacity = slots ? slots->capacity * 2 : SLOTS_FIRST;
        struct address_slots *larger = calloc(1, sizeof *larger + capacity * sizeof larger->slot[0]);
        if (!larger)
            return false;
        larger->capacity = capacity;
        for (uint64_t i = 0; slots && i < slots->capacity; i++) {
            if (slots->slot[i].value)
                slot_fill(larger, slots->slot[i].key, slots->slot[i].value);
        }
        /* The smaller one stays: a reader may be in it. All of them together are as large as the
         * last. */
        atomic_store_explicit(&map->slots, larger, memory_order_release);
        slots = larger;
    }
    slot_fill(slots, key, value);
    return true;
}

void *address_map_get(const struct address_map *map, uint64_t key)
{
    struct address_slots *slots = atomic_load_explicit(&map->slots, memory_order_acquire);
    if (!slots || key == 0)
        return NULL;
    struct address_slot *slot = slot_find(slots, key);
    if (atomic_load_explicit(&slot->key, memory_order_acquire) != key)
        return NULL;
    return atomic_load_explicit(&slot->value, memory_order_acquire);
}

/* ---- records ---- */

bool record_add(struct patch_record *record)
{
    if (list_count == list_capacity) {
        size_t capacity = list_capacity ? list_capacity * 2 : 128;
        struct patch_record **larger = realloc(list, capacity * sizeof *larger);
        if (!larger)
            return false;
        list = larger;
        list_capacity = capacity;
    }
    if (!address_map_set(&records, record->start, record))
        return false;
    list[list_count++] = record;
    return true;
}

void record_drop(struct patch_record *record)
{
    if (address_map_get(&records, record->start) == record)
        address_map_set(&records, record->start, NULL);
    for (size_t i = 0; i < list_count; i++) {
        if (list[i] == record) {
            list[i] = list[--list_count];
            return;
        }
    }
}

static bool bytes_hold(const struct patch_record *record, const uint8_t bytes[JUMP_BYTES])
{
    /* A debugger may have put its breakpoint over the first byte. */
    return (bytes[0] == record->jump[0] || bytes[0] == BREAKPOINT) &&
           memcmp(bytes + 1, record->jump + 1, JUMP_BYTES - 1) == 0;
}

/* True when the program's memory still has the jump: its object may have been unmapped since. */
static bool record_holds(const struct patch_operations *operations, const struct patch_record *record)
{
    uint8_t bytes[JUMP_BYTES];
    return operations->read(record->start, bytes, sizeof bytes) == sizeof bytes && bytes_hold(record, bytes);
}

struct patch_record *record_at(uint64_t start)
{
    return address_map_get(&records, start);
}

struct patch_record *record_lookup(const struct patch_operations *operations, uint64_t address)
{
    for (uint64_t back = 0; back < JUMP_BYTES && back < address; back++) {
        struct patch_record *record = record_at(address - back);
        if (record &&
            (atomic_load_explicit(&record->writing, memory_order_acquire) || record_holds(operations, record)))
            return record;
    }
    return NULL;
}

struct patch_record *record_of_site(const struct patch_operations *operations, uint64_t site)
{
    for (uint64_t back = 0; back <= WINDOW_BEFORE_BYTES && back < site; back++) {
        struct patch_record *record = record_at(site - back);
        if (record && record->site == site && record_holds(operations, record))
            return record;
    }
    return NULL;
}

void record_overlay(const struct patch_operations *operations, uint64_t start, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < list_count;) {
        struct patch_record *record = list[i];
        if (record->start + JUMP_BYTES <= start || record->start >= start + size) {
            i++;
        } else if (!record_holds(operations, record)) {
            record_drop(record);
        } else {
            for (uint64_t j = 0; j < JUMP_BYTES; j++) {
                uint64_t at = record->start + j;
                if (at >= start && at < start + size)
                    bytes[at - start] = record->original[j];
            }
            i++;
        }
    }
}
