/*
 * Image: one ELF file, checked by hand with bounds, then mapped into the span zone as the kernel
 * would map it. Not for what the file needs (closure.h, rtld.h) nor for libraries, which the rtld
 * maps.
 *
 * Format: System V ABI, chapter 5, and its x86-64 supplement; mapping as in Linux fs/binfmt_elf.c.
 */
#ifndef LD_SPAN_IMAGE_H
#define LD_SPAN_IMAGE_H

#include <elf.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

#define IMAGE_HEADERS_MAX 256
#define IMAGE_ALIGN_MAX   (1ul << 30)
#define IMAGE_PIE_BASE    0x555555554000ul

struct image {
    /* image_check */
    Elf64_Half type; /* ET_EXEC or ET_DYN */
    uint64_t file_bytes;
    uint64_t low, high;    /* lowest and highest address of the PT_LOADs before relocation, page aligned */
    uint64_t align;        /* largest p_align, at least a page */
    uint64_t entry_offset; /* e_entry */
    bool stack_executable;
    bool has_interpreter, has_dynamic;
    char interpreter[PATH_MAX];
    unsigned header_count;
    Elf64_Phdr headers[IMAGE_HEADERS_MAX];
    uint64_t device, inode;

    /* image_load */
    uint64_t bias, start, end; /* what is mapped: [start, end) */
    uint64_t entry;            /* address */
    uint64_t headers_address;  /* for AT_PHDR, 0: not in any PT_LOAD */
    uint64_t brk_start;        /* end of the highest segment, page aligned */
};

/*
 * Reads and checks header and program headers of the regular file `fd`; `path` only for the
 * message. 0, or -EACCES (not a regular file), -ENOEXEC (not ELF, not for this machine, damaged),
 * or the errno of reading, with one line in `why`. Any thread, monitor domain; does not allocate.
 */
int image_check(int fd, const char *path, struct image *image, char why[WIRE_MESSAGE_BYTES]);

/* Has the first `size` bytes of a file the ELF magic number? */
bool image_is_elf(const void *bytes, size_t size);

/*
 * Maps a checked image with the calls of monitor/space.h. `base`: where an ET_DYN goes when that is
 * free, 0: anywhere. 0 or a negative errno with one line in `why`. Before the program runs: it
 * writes to the memory it has mapped.
 */
int image_load(int fd, const char *path, struct image *image, uint64_t base, char why[WIRE_MESSAGE_BYTES]);

/* File offset of `size` bytes at `address` (before relocation) in a PT_LOAD; false when the file
 * has not all of them. */
bool image_file_offset(const struct image *image, uint64_t address, uint64_t size, uint64_t *offset);

#endif
