/*
 * Call chains: the process's mappings, the unwind tables and symbols of the files behind them, and what libunwind asks
 * for on the way. Registers that a function need not keep are not known, and come as zero.
 */
#include "monitor/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <libunwind-x86_64.h>

int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                                       unw_proc_info_t *info, int need_unwind_info, void *argument);

#define EH_VERSION      1
#define EH_POINTER      0x1b /* of .eh_frame: relative to itself, signed 4 bytes */
#define EH_COUNT        0x03 /* of entries: 4 bytes */
#define EH_TABLE        0x3b /* relative to the header, signed 4 bytes */
#define EH_HEADER_BYTES 12
#define EH_ENTRY_BYTES  8

struct mapping {
    uint64_t start, end, offset;
    char *file;
    Elf *elf;      /* NULL: not opened, or not an ELF file */
    uint64_t bias; /* what is added to addresses of the file */
    bool opened;
};

struct unwind {
    pid_t pid;
    struct mapping *mappings;
    unsigned count;
    unw_addr_space_t space;
    const uint64_t *registers; /* of the thread that is walked */
};

/* ---- memory and mappings --------------------------------------------------------------------- */

static bool memory_read(const struct unwind *unwind, uint64_t address, void *to, size_t size)
{
    struct iovec here = {to, size}, there = {(void *)address, size};
    return process_vm_readv(unwind->pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static struct mapping *mapping_of(struct unwind *unwind, uint64_t address)
{
    for (unsigned i = 0; i < unwind->count; i++)
        if (address >= unwind->mappings[i].start && address < unwind->mappings[i].end)
            return &unwind->mappings[i];
    return NULL;
}

static bool mapping_add(struct unwind *unwind, const char *line)
{
    struct mapping mapping = {0};
    int name = 0;
    if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %n", &mapping.start, &mapping.end, &mapping.offset, &name) < 3)
        return true;
    struct mapping *more = realloc(unwind->mappings, (unwind->count + 1) * sizeof *more);
    if (more == NULL)
        return false;
    unwind->mappings = more;
    mapping.file = strdup(line + name);
    if (mapping.file == NULL)
        return false;
    mapping.file[strcspn(mapping.file, "\n")] = 0;
    more[unwind->count++] = mapping;
    return true;
}

/* The file behind the mapping, as the process sees it. */
static Elf *mapping_elf(struct unwind *unwind, struct mapping *mapping)
{
    char path[PATH_MAX + 32];
    size_t count;
    if (mapping->opened || mapping->file[0] != '/')
        return mapping->elf;
    mapping->opened = true;
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)unwind->pid, mapping->file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fd = open(mapping->file, O_RDONLY | O_CLOEXEC);
    Elf *elf = fd >= 0 ? elf_begin(fd, ELF_C_READ_MMAP, NULL) : NULL;
    if (elf == NULL || elf_kind(elf) != ELF_K_ELF || elf_getphdrnum(elf, &count) != 0) {
        elf_end(elf);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(elf, (int)i, &segment) == NULL || segment.p_type != PT_LOAD)
            continue;
        uint64_t first = segment.p_offset & ~(uint64_t)(PAGE_BYTES - 1), last = segment.p_offset + segment.p_filesz;
        if (mapping->offset >= first && mapping->offset < last) {
            mapping->bias = mapping->start - mapping->offset + segment.p_offset - segment.p_vaddr;
            mapping->elf = elf;
        }
    }
    return mapping->elf;
}

/* ---- what libunwind asks --------------------------------------------------------------------- */

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *info, int need_unwind_info,
                          void *argument)
{
    struct unwind *unwind = argument;
    struct mapping *mapping = mapping_of(unwind, ip);
    Elf *elf = mapping ? mapping_elf(unwind, mapping) : NULL;
    size_t count;
    if (elf == NULL || elf_getphdrnum(elf, &count) != 0)
        return -UNW_ENOINFO;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        unsigned char header[EH_HEADER_BYTES];
        if (gelf_getphdr(elf, (int)i, &segment) == NULL || segment.p_type != PT_GNU_EH_FRAME)
            continue;
        uint64_t at = segment.p_vaddr + mapping->bias;
        uint32_t entries;
        if (!memory_read(unwind, at, header, sizeof header) || header[0] != EH_VERSION || header[1] != EH_POINTER ||
            header[2] != EH_COUNT || header[3] != EH_TABLE)
            return -UNW_ENOINFO;
        memcpy(&entries, header + 8, sizeof entries);
        unw_dyn_info_t table = {.start_ip = mapping->start, .end_ip = mapping->end};
        table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
        table.u.rti.segbase = at;
        table.u.rti.table_data = at + EH_HEADER_BYTES;
        table.u.rti.table_len = (unw_word_t)entries * EH_ENTRY_BYTES / sizeof(unw_word_t);
        return _Ux86_64_dwarf_search_unwind_table(space, ip, &table, info, need_unwind_info, argument);
    }
    return -UNW_ENOINFO;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *argument)
{
    (void)space;
    (void)info;
    (void)argument;
}

static int get_dyn_info_list_addr(unw_addr_space_t space, unw_word_t *address, void *argument)
{
    (void)space;
    (void)address;
    (void)argument;
    return -UNW_ENOINFO;
}

static int access_mem(unw_addr_space_t space, unw_word_t address, unw_word_t *value, int write, void *argument)
{
    (void)space;
    return !write && memory_read(argument, address, value, sizeof *value) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t number, unw_word_t *value, int write, void *argument)
{
    static const unw_regnum_t known[WIRE_REPORT_REGISTERS] = {UNW_X86_64_RIP, UNW_X86_64_RSP, UNW_X86_64_RBP,
                                                              UNW_X86_64_RBX, UNW_X86_64_R12, UNW_X86_64_R13,
                                                              UNW_X86_64_R14, UNW_X86_64_R15};
    const struct unwind *unwind = argument;
    (void)space;
    if (write)
        return -UNW_EREADONLYREG;
    *value = 0;
    for (unsigned i = 0; i < WIRE_REPORT_REGISTERS; i++)
        if (known[i] == number)
            *value = unwind->registers[i];
    return 0;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value, int write, void *argument)
{
    (void)space;
    (void)number;
    (void)value;
    (void)write;
    (void)argument;
    return -UNW_EBADREG;
}

static int resume(unw_addr_space_t space, unw_cursor_t *cursor, void *argument)
{
    (void)space;
    (void)cursor;
    (void)argument;
    return -UNW_EINVAL;
}

static int get_proc_name(unw_addr_space_t space, unw_word_t address, char *name, size_t size, unw_word_t *offset,
                         void *argument)
{
    (void)space;
    (void)address;
    (void)name;
    (void)size;
    (void)offset;
    (void)argument;
    return -UNW_ENOINFO;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The last function of the table at or before the address of the file, when it reaches there. */
static bool table_find(Elf *elf, uint32_t type, uint64_t address, struct unwind_frame *frame)
{
    uint64_t best = 0;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        Elf_Data *data;
        if (gelf_getshdr(section, &header) == NULL || header.sh_type != type || header.sh_entsize == 0 ||
            (data = elf_getdata(section, NULL)) == NULL)
            continue;
        for (size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
            GElf_Sym symbol;
            if (gelf_getsym(data, (int)i, &symbol) == NULL || GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
                symbol.st_shndx == SHN_UNDEF || symbol.st_value > address || symbol.st_value < best ||
                address - symbol.st_value > symbol.st_size)
                continue;
            const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
            if (name == NULL)
                continue;
            best = symbol.st_value;
            frame->offset = address - best;
            snprintf(frame->function, sizeof frame->function, "%s", name);
        }
    }
    return frame->function[0] != 0;
}

static void frame_name(struct unwind *unwind, struct unwind_frame *frame, bool innermost)
{
    /* A call that never returns may be the last of its function: what is returned to belongs to the next one. */
    uint64_t address = frame->address - !innermost;
    struct mapping *mapping = mapping_of(unwind, address);
    frame->file = mapping ? mapping->file : "";
    Elf *elf = mapping ? mapping_elf(unwind, mapping) : NULL;
    if (elf == NULL)
        return;
    if (table_find(elf, SHT_SYMTAB, address - mapping->bias, frame) ||
        table_find(elf, SHT_DYNSYM, address - mapping->bias, frame))
        frame->offset += !innermost;
}

/* ---- walking --------------------------------------------------------------------------------- */

struct unwind *unwind_open(pid_t pid)
{
    static unw_accessors_t accessors = {find_proc_info, put_unwind_info, get_dyn_info_list_addr, access_mem, access_reg,
                                        access_fpreg,   resume,          get_proc_name};
    char path[32], *line = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    elf_version(EV_CURRENT);
    FILE *maps = fopen(path, "re");
    struct unwind *unwind = maps ? calloc(1, sizeof *unwind) : NULL;
    if (unwind == NULL) {
        if (maps)
            fclose(maps);
        return NULL;
    }
    unwind->pid = pid;
    bool complete = true;
    while (complete && getline(&line, &size, maps) > 0)
        complete = mapping_add(unwind, line);
    free(line);
    fclose(maps);
    unwind->space = complete ? _Ux86_64_create_addr_space(&accessors, 0) : NULL;
    if (unwind->space != NULL)
        return unwind;
    unwind_close(unwind);
    errno = ENOMEM;
    return NULL;
}

void unwind_close(struct unwind *unwind)
{
    for (unsigned i = 0; i < unwind->count; i++) {
        elf_end(unwind->mappings[i].elf); /* its descriptor goes with the process */
        free(unwind->mappings[i].file);
    }
    free(unwind->mappings);
    if (unwind->space != NULL)
        _Ux86_64_destroy_addr_space(unwind->space);
    free(unwind);
}

unsigned unwind_walk(struct unwind *unwind, const uint64_t registers[WIRE_REPORT_REGISTERS],
                     struct unwind_frame *frames, unsigned room)
{
    unw_cursor_t cursor;
    unsigned count = 0;
    unwind->registers = registers;
    if (_Ux86_64_init_remote(&cursor, unwind->space, unwind) < 0)
        return 0;
    while (count < room) {
        unw_word_t address, stack = 0, before = 0;
        if (_Ux86_64_get_reg(&cursor, UNW_X86_64_RIP, &address) < 0 || address == 0)
            break;
        _Ux86_64_get_reg(&cursor, UNW_X86_64_RSP, &before);
        frames[count] = (struct unwind_frame){.address = address};
        frame_name(unwind, &frames[count], count == 0);
        count++;
        if (_Ux86_64_step(&cursor) <= 0)
            break;
        _Ux86_64_get_reg(&cursor, UNW_X86_64_RSP, &stack);
        if (stack <= before)
            break; /* a chain goes up the stack, or is none */
    }
    return count;
}
