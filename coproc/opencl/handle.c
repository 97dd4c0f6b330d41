/*
 * Handles: what is known about an object of the driver, by its handle. An open hash of pointers
 * under one lock. Not for events, which are ours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

#define GONE ((struct handle_entry *)1) /* something stood here: search on */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle_entry **slots;
static size_t capacity, used; /* used: GONE ones too */

void *layer_memory(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory) {
        fprintf(stderr, "ld-span: coprocessor streams: no memory\n");
        abort();
    }
    return memory;
}

static size_t slot_of(const void *native)
{
    return (size_t)(((uintptr_t)native >> 4) * 0x9e3779b97f4a7c15u >> 20) & (capacity - 1);
}

static void insert(struct handle_entry *entry)
{
    size_t slot = slot_of(entry->native);
    while (slots[slot] && slots[slot] != GONE)
        slot = (slot + 1) & (capacity - 1);
    used += !slots[slot];
    slots[slot] = entry;
}

static void grow(void)
{
    struct handle_entry **old = slots;
    size_t old_capacity = capacity, live = 0;
    for (size_t i = 0; i < old_capacity; i++)
        live += old[i] && old[i] != GONE;
    capacity = 256;
    while (capacity < 4 * live)
        capacity *= 2;
    slots = layer_memory(capacity * sizeof *slots);
    used = 0;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i] && old[i] != GONE)
            insert(old[i]);
    free(old);
}

void *handle_find(const void *native, enum handle_kind kind)
{
    struct handle_entry *found = NULL;
    if (!native)
        return NULL;
    pthread_mutex_lock(&lock);
    for (size_t slot = capacity ? slot_of(native) : 0; capacity && slots[slot]; slot = (slot + 1) & (capacity - 1)) {
        if (slots[slot] != GONE && slots[slot]->native == native && slots[slot]->kind == kind) {
            found = slots[slot];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void handle_add(struct handle_entry *entry, void *native, enum handle_kind kind)
{
    entry->native = native;
    entry->kind = kind;
    entry->refs = 1;
    pthread_mutex_lock(&lock);
    if (2 * (used + 1) > capacity)
        grow();
    insert(entry);
    pthread_mutex_unlock(&lock);
}

void handle_remove(struct handle_entry *entry)
{
    pthread_mutex_lock(&lock);
    size_t slot = slot_of(entry->native);
    while (slots[slot] && slots[slot] != entry)
        slot = (slot + 1) & (capacity - 1);
    if (slots[slot])
        slots[slot] = GONE;
    pthread_mutex_unlock(&lock);
}

const char *name_intern(const char *name)
{
    static struct name {
        struct name *next;
        char text[];
    } * names;
    pthread_mutex_lock(&lock);
    struct name *found = names;
    while (found && strcmp(found->text, name) != 0)
        found = found->next;
    if (!found) {
        found = layer_memory(sizeof *found + strlen(name) + 1);
        memcpy(found->text, name, strlen(name) + 1);
        found->next = names;
        names = found;
    }
    pthread_mutex_unlock(&lock);
    return found->text;
}

cl_int info_return(const void *value, size_t size, size_t room, void *where, size_t *size_ret)
{
    if (where && room < size)
        return CL_INVALID_VALUE;
    if (where)
        memcpy(where, value, size);
    if (size_ret)
        *size_ret = size;
    return CL_SUCCESS;
}
