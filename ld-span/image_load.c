/*
 * Maps a checked image as the kernel's load_elf_binary does.
 * Not for checking (image.c): every number used here has been.
 */
#include "ld-span/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "monitor/fatal.h"
#include "monitor/space.h"

#define PAGE_MASK (PAGE_BYTES - 1ul)

static uint64_t page_down(uint64_t address)
{
    return address & ~PAGE_MASK;
}

static uint64_t page_up(uint64_t address)
{
    return (address + PAGE_MASK) & ~PAGE_MASK;
}

static int segment_protection(const Elf64_Phdr *load)
{
    return (load->p_flags & PF_R ? PROT_READ : 0) | (load->p_flags & PF_W ? PROT_WRITE : 0) |
           (load->p_flags & PF_X ? PROT_EXEC : 0);
}

static bool is_load(const Elf64_Phdr *header)
{
    return header->p_type == PT_LOAD && header->p_memsz > 0;
}

/* Takes the whole range at once, so that nothing comes to lie in it. Sets bias, start and end. */
static int range_reserve(struct image *image, uint64_t base)
{
    uint64_t size = image->high - image->low, wanted = 0;
    /* Room to align in, where the place is not chosen by us. */
    uint64_t slack = image->align - PAGE_BYTES;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    long address;
    if (image->type == ET_EXEC)
        wanted = image->low;
    else if (base)
        wanted = (base + image->align - 1) & ~(image->align - 1);
    if (wanted) {
        address = space_mmap(wanted, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (address < 0 && image->type == ET_EXEC)
            return (int)address;
        if (address == (long)wanted)
            goto placed;
        if (address > 0)
            space_munmap((uint64_t)address, size);
    }
    address = space_mmap(0, size + slack, PROT_NONE, flags, -1, 0);
    if (address < 0)
        return (int)address;
    if (slack) {
        uint64_t first = (uint64_t)address, aligned = (first + image->align - 1) & ~(image->align - 1);
        if (aligned > first)
            space_munmap(first, aligned - first);
        if (first + slack > aligned)
            space_munmap(aligned + size, first + slack - aligned);
        address = (long)aligned;
    }
placed:
    image->start = (uint64_t)address;
    image->end = image->start + size;
    image->bias = image->start - image->low;
    return 0;
}

static int segment_map(int fd, const Elf64_Phdr *load, uint64_t bias)
{
    uint64_t start = page_down(load->p_vaddr) + bias;
    uint64_t file_end = load->p_vaddr + load->p_filesz + bias;
    uint64_t end = page_up(load->p_vaddr + load->p_memsz) + bias;
    int protection = segment_protection(load);
    uint64_t memory_start = start;
    if (load->p_filesz > 0) {
        memory_start = page_up(file_end);
        long result = space_mmap(start, memory_start - start, protection, MAP_PRIVATE | MAP_FIXED, fd,
                                 (off_t)page_down(load->p_offset));
        if (result < 0)
            return (int)result;
        SPAN_ASSERT(result == (long)start);
        /* The last page holds whatever follows in the file; a segment that cannot be written keeps
         * it. */
        if (load->p_memsz > load->p_filesz && load->p_flags & PF_W)
            memset((void *)file_end, 0, memory_start - file_end);
    }
    if (end > memory_start) {
        long result =
            space_mmap(memory_start, end - memory_start, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (result < 0)
            return (int)result;
        SPAN_ASSERT(result == (long)memory_start);
    }
    return 0;
}

/* A segment that can be written but not read is readable on x86; memset needs only that it can be
 * written. */
static int segments_map(int fd, struct image *image)
{
    uint64_t reached = image->low;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (!is_load(load))
            continue;
        /* Gaps between segments stay free for other mappings, as after execve. */
        if (page_down(load->p_vaddr) > reached)
            space_munmap(reached + image->bias, page_down(load->p_vaddr) - reached);
        int error = segment_map(fd, load, image->bias);
        if (error)
            return error;
        reached = page_up(load->p_vaddr + load->p_memsz);
    }
    return 0;
}

int image_load(int fd, const char *path, struct image *image, uint64_t base, char why[WIRE_MESSAGE_BYTES])
{
    int error = range_reserve(image, base);
    if (error == -EEXIST) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be loaded: its addresses %#lx-%#lx are in use", path,
                 image->low, image->high);
        return error;
    }
    if (!error) {
        error = segments_map(fd, image);
        if (error)
            space_munmap(image->start, image->end - image->start);
    }
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be loaded: %lu KiB at %#lx: %s", path,
                 (image->high - image->low) / 1024, image->start, strerror(-error));
        return error;
    }
    image->entry = image->entry_offset + image->bias;
    if (image->headers_address)
        image->headers_address += image->bias;
    image->brk_start = image->end;
    return 0;
}
