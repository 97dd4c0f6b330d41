/*
 * Checks an ELF file before anything is mapped: every number in it is a claim by a stranger.
 * Not for mapping it (image_load.c).
 */
#include "ld-span/image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_MASK (PAGE_BYTES - 1ul)

static int image_bad(char *why, const char *path, const char *what)
{
    snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: cannot be run: %s", path, what);
    return -ENOEXEC;
}

bool image_is_elf(const void *bytes, size_t size)
{
    return size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG);
}

/* Reads exactly `size` bytes: 1, 0 when the file ends before, negative errno. */
static int bytes_read(int fd, void *bytes, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = pread(fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return 0;
        done += (size_t)count;
    }
    return 1;
}

static const char *header_check(const Elf64_Ehdr *header, uint64_t file_bytes)
{
    if (header->e_ident[EI_CLASS] == ELFCLASS32)
        return "it is a 32-bit program (ld-span runs x86-64 programs; run it without ld-span)";
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
        return "its ELF class or byte order is not that of x86-64";
    if (header->e_ident[EI_VERSION] != EV_CURRENT)
        return "damaged: unknown ELF version";
    if (header->e_machine != EM_X86_64)
        return "it is for another kind of machine (ld-span runs x86-64 programs)";
    if (header->e_type == ET_REL || header->e_type == ET_CORE)
        return "it is an object file or a core file, not a program";
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return "damaged: unknown ELF type";
    if (header->e_phentsize != sizeof(Elf64_Phdr))
        return "damaged: program headers have the wrong size";
    if (header->e_phnum == 0)
        return "damaged: it has no program headers";
    if (header->e_phnum > IMAGE_HEADERS_MAX)
        return "it has too many program headers";
    if (header->e_phoff > file_bytes || header->e_phnum * sizeof(Elf64_Phdr) > file_bytes - header->e_phoff)
        return "damaged: its program headers lie beyond its end (truncated?)";
    return NULL;
}

/* One PT_LOAD by itself. */
static const char *load_check(const Elf64_Phdr *load, uint64_t file_bytes)
{
    if (load->p_filesz > load->p_memsz)
        return "damaged: a segment has more bytes in the file than in memory";
    if (load->p_vaddr >= SPAN_ZONE_END || load->p_memsz > SPAN_ZONE_END - load->p_vaddr)
        return "a segment lies outside the addresses of programs";
    if (load->p_filesz > 0 && ((load->p_vaddr ^ load->p_offset) & PAGE_MASK))
        return "damaged: a segment's address and file offset do not match within a page";
    if (load->p_filesz > 0 && (load->p_offset > file_bytes || load->p_filesz > file_bytes - load->p_offset))
        return "damaged: a segment lies beyond the end of the file (truncated?)";
    if (load->p_align > IMAGE_ALIGN_MAX)
        return "damaged: a segment has an absurd alignment";
    return NULL;
}

static const char *loads_check(struct image *image)
{
    const Elf64_Phdr *last = NULL;
    image->align = PAGE_BYTES;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (load->p_type != PT_LOAD || load->p_memsz == 0)
            continue;
        const char *bad = load_check(load, image->file_bytes);
        if (bad)
            return bad;
        if (last && load->p_vaddr < last->p_vaddr + last->p_memsz)
            return "damaged: its segments overlap or are out of order";
        /* As the kernel does, an alignment that is no power of two is ignored. */
        if (load->p_align > image->align && !(load->p_align & (load->p_align - 1)))
            image->align = load->p_align;
        if (!last)
            image->low = load->p_vaddr & ~PAGE_MASK;
        image->high = (load->p_vaddr + load->p_memsz + PAGE_MASK) & ~PAGE_MASK;
        last = load;
    }
    if (!last)
        return "damaged: it has no segments to load";
    if (image->type == ET_EXEC && image->low < SPAN_ZONE_START)
        return "a segment lies outside the addresses of programs";
    return NULL;
}

static const char *entry_check(const struct image *image)
{
    /* Shared objects that are only listed have no entry. */
    if (image->type == ET_DYN && image->entry_offset == 0)
        return NULL;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (load->p_type == PT_LOAD && image->entry_offset >= load->p_vaddr &&
            image->entry_offset - load->p_vaddr < load->p_memsz)
            return NULL;
    }
    return "damaged: its entry point is outside its segments";
}

static const char *interpreter_read(int fd, struct image *image, const Elf64_Phdr *header)
{
    if (image->has_interpreter)
        return "damaged: it names two interpreters";
    if (header->p_filesz < 2 || header->p_filesz > sizeof image->interpreter)
        return "damaged: its interpreter's name has an absurd length";
    if (header->p_offset > image->file_bytes || header->p_filesz > image->file_bytes - header->p_offset ||
        bytes_read(fd, image->interpreter, header->p_filesz, header->p_offset) != 1)
        return "damaged: its interpreter's name lies beyond its end (truncated?)";
    if (image->interpreter[header->p_filesz - 1] != '\0')
        return "damaged: its interpreter's name does not end";
    if (image->interpreter[0] == '\0')
        return "damaged: its interpreter's name is empty";
    image->has_interpreter = true;
    return NULL;
}

static const char *others_check(int fd, struct image *image)
{
    /* Without PT_GNU_STACK the x86-64 kernel gives a stack that cannot be executed. */
    image->stack_executable = false;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *header = &image->headers[i];
        const char *bad = NULL;
        if (header->p_type == PT_INTERP)
            bad = interpreter_read(fd, image, header);
        else if (header->p_type == PT_GNU_STACK)
            image->stack_executable = header->p_flags & PF_X;
        else if (header->p_type == PT_DYNAMIC)
            image->has_dynamic = true;
        else if (header->p_type == PT_TLS && header->p_filesz > header->p_memsz)
            bad = "damaged: its thread-local segment has more bytes in the file than in memory";
        if (bad)
            return bad;
    }
    return NULL;
}

int image_check(int fd, const char *path, struct image *image, char why[WIRE_MESSAGE_BYTES])
{
    struct stat status;
    Elf64_Ehdr header;
    memset(image, 0, offsetof(struct image, headers));
    image->bias = image->start = image->end = image->entry = image->headers_address = image->brk_start = 0;
    if (fstat(fd, &status) < 0) {
        int error = -errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "%.90s: cannot be read: %s", path, strerror(-error));
        return error;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.90s: cannot be run: it is %s", path,
                 S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
        return -EACCES;
    }
    image->device = status.st_dev;
    image->inode = status.st_ino;
    image->file_bytes = (uint64_t)status.st_size;
    int got = bytes_read(fd, &header, sizeof header, 0);
    if (got == 1) {
        if (!image_is_elf(&header, sizeof header))
            return image_bad(why, path, "it is not an ELF file");
        const char *bad = header_check(&header, image->file_bytes);
        if (bad)
            return image_bad(why, path, bad);
        image->type = header.e_type;
        image->entry_offset = header.e_entry;
        image->header_count = header.e_phnum;
        got = bytes_read(fd, image->headers, header.e_phnum * sizeof(Elf64_Phdr), header.e_phoff);
    }
    if (got < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.90s: cannot be read: %s", path, strerror(-got));
        return got;
    }
    if (got == 0)
        return image_bad(why, path, "it is not an ELF file, or truncated");
    /* AT_PHDR is the address of what lies at e_phoff in the file. */
    const char *bad = loads_check(image);
    if (!bad)
        bad = entry_check(image);
    if (!bad)
        bad = others_check(fd, image);
    if (bad)
        return image_bad(why, path, bad);
    for (unsigned i = 0; i < image->header_count && !image->headers_address; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (load->p_type == PT_LOAD && header.e_phoff >= load->p_offset &&
            header.e_phoff - load->p_offset < load->p_filesz)
            image->headers_address = load->p_vaddr + (header.e_phoff - load->p_offset);
    }
    return 0;
}

bool image_file_offset(const struct image *image, uint64_t address, uint64_t size, uint64_t *offset)
{
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (load->p_type != PT_LOAD || address < load->p_vaddr || address - load->p_vaddr > load->p_filesz)
            continue;
        if (size <= load->p_filesz - (address - load->p_vaddr)) {
            *offset = load->p_offset + (address - load->p_vaddr);
            return true;
        }
    }
    return false;
}
