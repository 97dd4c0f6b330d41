/*
 * What the files of site patching share. Not for anybody else: the interface is syscall/patch.h.
 * All of it runs under the patch lock, except the look-ups that say so.
 */
#ifndef SYSCALL_PATCH_PRIVATE_H
#define SYSCALL_PATCH_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscall/patch.h"

#define JUMP_BYTES           5 /* jmp rel32 */
#define SYSCALL_BYTES        2
#define INSTRUCTION_BYTES    15 /* longest there is */
#define WINDOW_BEFORE_MAX    10 /* instructions looked at before the syscall */
#define WINDOW_DISPLACED_MAX 16
#define WINDOW_BEFORE_BYTES  (WINDOW_BEFORE_MAX * INSTRUCTION_BYTES)
#define FUNCTION_BYTES_MAX   (64u * 1024u)
#define BREAKPOINT           0xccu /* int3 */

/* ---- patch_function.c: which function a site is in ---- */

struct patch_function {
    uint64_t start, end;
    uint64_t next;     /* nothing that is run starts in [end, next) */
    bool signal_frame; /* the frame of a signal handler: unwinders recognise its bytes */
};

/* The function of the object that contains `site`; false when no table says where it starts. */
bool function_find(const struct patch_operations *operations, uint64_t site, uint64_t object_start, uint64_t map_start,
                   uint64_t map_end, struct patch_function *out);

/* An ELF object in memory, as its program headers describe it. */
struct patch_object {
    uint64_t bias;                  /* address minus p_vaddr */
    uint64_t eh_frame_hdr, dynamic; /* addresses, 0: none */
    uint64_t read_only[8][2];       /* ranges of PT_LOAD without write permission, as addresses */
    unsigned read_only_count;
};

/* patch_symbols.c: the last function symbol at or before the site and the first behind it. */
bool symbols_find(const struct patch_operations *operations, const struct patch_object *object, uint64_t object_start,
                  uint64_t site, struct patch_function *out);

/* ---- patch_window.c: which bytes to overwrite ---- */

enum window_class {
    WINDOW_NONE,
    WINDOW_FREE,   /* one instruction of five bytes or more: no instruction starts inside the jump */
    WINDOW_PUNNED, /* one starts at byte 2: that byte of the jump has to be a breakpoint */
    WINDOW_QUIET,  /* others start inside: only while no other thread can be there */
};

/* How a displaced instruction is written again at another address. */
enum displaced_kind {
    DISPLACED_SYSCALL, /* becomes the way into the monitor */
    DISPLACED_COPY,
    DISPLACED_RIP,         /* copy, with the displacement at `operand` changed to reach `target` */
    DISPLACED_JUMP,        /* jmp rel32 to `target` */
    DISPLACED_CONDITIONAL, /* jcc rel32 to `target`, condition in `operand` */
};

struct displaced {
    uint64_t address, target;
    uint8_t bytes[INSTRUCTION_BYTES];
    uint8_t length, kind, operand;
    bool ends; /* what follows is not reached from here */
};

struct patch_window {
    uint64_t start;  /* of the jump */
    uint64_t resume; /* where the program goes on behind the displaced instructions */
    enum window_class class;
    unsigned count; /* of displaced instructions, the syscall among them */
    struct displaced displaced[WINDOW_DISPLACED_MAX];
};

/* Decides. WINDOW_NONE: doubtful. `quiet`: no other thread of the program is running. */
enum window_class window_choose(const struct patch_operations *operations, uint64_t site,
                                const struct patch_function *function, uint64_t map_start, uint64_t map_end, bool quiet,
                                struct patch_window *out);

/* ---- patch_stub.c: stub memory and what is in it ---- */

#define STUB_GRANULE    16u
#define STUB_GRANULES   256u
#define STUB_BYTES_MAX  320u
#define STUB_PLACES_MAX (WINDOW_DISPLACED_MAX + 2)

/* One instruction in a stub and the address in the program that it stands for. */
struct stub_place {
    uint16_t offset;
    int16_t program; /* relative to the record's start */
};

/*
 * A site that is patched or being patched. Never freed, so that signal handlers may hold on to one.
 */
struct patch_record {
    uint64_t start, site, stub;
    uint16_t stub_bytes, place_count;
    uint8_t original[JUMP_BYTES], jump[JUMP_BYTES];
    _Atomic bool writing; /* the window's bytes are in between */
    struct stub_place places[STUB_PLACES_MAX];
};

/*
 * Writes the stub for `window` somewhere in reach of it and returns its record, all filled in but
 * `original`, and marked as being written. NULL: no room, and no stub is left behind.
 */
struct patch_record *stub_make(const struct patch_operations *operations, const struct patch_window *window,
                               uint64_t site, uint32_t entry_offset, uint64_t map_start, uint64_t map_end);
/* The stub whose memory contains `address`. Any thread, lock-free. */
struct patch_record *stub_lookup(uint64_t address);

/* ---- patch_record.c: the records by address of their window ---- */

bool record_add(struct patch_record *record);
void record_drop(struct patch_record *record);
/* The record whose window starts at `start`, believed or not. */
struct patch_record *record_at(uint64_t start);
/* The record of a window, still in memory, whose five bytes contain `address`. Any thread,
 * lock-free. */
struct patch_record *record_lookup(const struct patch_operations *operations, uint64_t address);
/* The record of a site that is patched now; NULL. */
struct patch_record *record_of_site(const struct patch_operations *operations, uint64_t site);
/* Undoes patches in a copy of [start, start + size) and drops records that no longer hold. */
void record_overlay(const struct patch_operations *operations, uint64_t start, uint8_t *bytes, size_t size);

/* A map from addresses to pointers: writers under the patch lock, readers at any time. */
struct address_map {
    struct address_slots *_Atomic slots;
};
bool address_map_set(struct address_map *map, uint64_t key, void *value);
void *address_map_get(const struct address_map *map, uint64_t key);

#endif
