/*
 * Function bounds around a call site, from the tables that the object carries in memory for
 * unwinding. Not for symbol tables (syscall/patch_symbols.c), nor for anything that is only in the
 * file: section headers and debug information are not mapped.
 *
 * Formats: System V ABI for AMD64, 3.7 and 4.2.4; Linux Standard Base 5.0, 10.6 (.eh_frame,
 * .eh_frame_hdr).
 */
#include <elf.h>
#include <string.h>

#include "syscall/patch_private.h"

#define PROGRAM_HEADERS_MAX 32
#define SEARCH_BLOCK        256 /* table entries read at once at the end of the binary search */
#define FETCH_FRAME         32  /* bytes of an FDE that are of interest */
#define FRAMES_MAX          100000
#define SCAN_BYTES_MAX      (16u * 1024u * 1024u)

struct table_entry {
    int32_t start, fde; /* relative to the header */
};

static bool read_all(const struct patch_operations *operations, uint64_t address, void *bytes, size_t size)
{
    return operations->read(address, bytes, size) == size;
}

/* The tables are read a part at a time, and what was read is good for one search only. */
static struct {
    uint64_t start;
    size_t size;
    uint8_t bytes[64 * 1024];
} part;

/* As read_all, from the part; when it is not there, the `ahead` bytes from `address` on become the
 * part. */
static bool part_read(const struct patch_operations *operations, uint64_t address, void *bytes, size_t size,
                      size_t ahead)
{
    if (address < part.start || address - part.start + size > part.size) {
        part.start = address;
        part.size = operations->read(address, part.bytes, ahead);
        if (part.size < size)
            return false;
    }
    memcpy(bytes, part.bytes + (address - part.start), size);
    return true;
}

static bool object_read(const struct patch_operations *operations, uint64_t object_start, struct patch_object *out)
{
    Elf64_Ehdr header;
    Elf64_Phdr list[PROGRAM_HEADERS_MAX];
    if (!part_read(operations, object_start, &header, sizeof header, sizeof header + sizeof list) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 || header.e_phentsize != sizeof list[0] || header.e_phnum > PROGRAM_HEADERS_MAX ||
        header.e_phoff > 4096)
        return false;
    if (!part_read(operations, object_start + header.e_phoff, list, header.e_phnum * sizeof list[0], sizeof list))
        return false;
    memset(out, 0, sizeof *out);
    bool based = false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &list[i];
        if (segment->p_type == PT_LOAD && segment->p_offset == 0 && !based) {
            out->bias = object_start - (segment->p_vaddr & ~4095ul);
            based = true;
        }
    }
    for (unsigned i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &list[i];
        uint64_t start = out->bias + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME)
            out->eh_frame_hdr = start;
        else if (segment->p_type == PT_DYNAMIC)
            out->dynamic = start;
        else if (segment->p_type == PT_LOAD && !(segment->p_flags & (PF_W | PF_X)) && out->read_only_count < 8) {
            out->read_only[out->read_only_count][0] = start;
            out->read_only[out->read_only_count++][1] = start + segment->p_filesz;
        }
    }
    return based;
}

/* ---- call frame information ---- */

struct frame_entry {
    uint64_t common;           /* address of its CIE */
    unsigned pointer_encoding; /* DW_EH_PE_* of its CIE */
    bool signal_frame;
    uint64_t pc_field; /* address of pc_begin */
    uint64_t after;    /* address of the record behind */
};

static uint64_t leb_skip(const uint8_t *bytes, uint64_t at, uint64_t limit)
{
    while (at < limit && (bytes[at] & 0x80))
        at++;
    return at + 1;
}

/* Size of a DW_EH_PE_* value; 0 for those that code on this machine has no use for. */
static unsigned encoded_bytes(unsigned encoding)
{
    switch (encoding & 0x0f) {
    case 0x00: /* absptr */
    case 0x04: /* udata8 */
    case 0x0c: /* sdata8 */
        return 8;
    case 0x03: /* udata4 */
    case 0x0b: /* sdata4 */
        return 4;
    default:
        return 0;
    }
}

/* The augmentation of the CIE at `address`: how its FDEs encode addresses. */
static bool common_read(const struct patch_operations *operations, uint64_t address, struct frame_entry *out)
{
    uint8_t bytes[64] = {0};
    const size_t size = sizeof bytes;
    uint32_t id;
    if (operations->read(address, bytes, size) < 16)
        return false;
    memcpy(&id, bytes + 4, sizeof id);
    unsigned version = bytes[8];
    if (id != 0 || (version != 1 && version != 3))
        return false;
    const char *augmentation = (const char *)bytes + 9;
    uint64_t at = 9 + strnlen(augmentation, size - 10) + 1;
    out->pointer_encoding = 0;
    out->signal_frame = strchr(augmentation, 'S') != NULL;
    if (augmentation[0] != 'z')
        return augmentation[0] == 0;
    at = leb_skip(bytes, at, size);                         /* code alignment */
    at = leb_skip(bytes, at, size);                         /* data alignment */
    at = version == 1 ? at + 1 : leb_skip(bytes, at, size); /* return address register */
    at = leb_skip(bytes, at, size);                         /* augmentation bytes */
    for (const char *letter = augmentation + 1; *letter && at < size; letter++) {
        if (*letter == 'R') {
            out->pointer_encoding = bytes[at];
            return true;
        }
        if (*letter == 'L')
            at++;
        else if (*letter == 'P' && encoded_bytes(bytes[at]) != 0)
            at += 1 + encoded_bytes(bytes[at]);
        else if (*letter != 'S' && *letter != 'B')
            return false;
    }
    return true;
}

/*
 * The record at `address`: 1 an FDE, 0 a CIE, -1 the end or not understood. `out` holds what the
 * record before had, for records in a row share their CIE.
 */
static int frame_read(const struct patch_operations *operations, uint64_t address, size_t ahead,
                      struct frame_entry *out)
{
    uint32_t head[2];
    if (!part_read(operations, address, head, sizeof head, ahead) || head[0] < 12 || head[0] >= 0xfffffff0u)
        return -1;
    out->after = address + 4 + head[0];
    if (head[1] == 0)
        return 0;
    out->pc_field = address + 8;
    uint64_t common = address + 4 - head[1];
    if (common != out->common && !common_read(operations, common, out))
        return -1;
    out->common = common;
    return 1;
}

/* Reads the range that an FDE describes; `known_start` from the search table, 0: decode it. */
static bool frame_range(const struct patch_operations *operations, const struct frame_entry *entry,
                        uint64_t known_start, size_t ahead, struct patch_function *out)
{
    unsigned width = encoded_bytes(entry->pointer_encoding);
    uint8_t bytes[16];
    uint64_t start = 0, size = 0;
    if (width == 0 || !part_read(operations, entry->pc_field, bytes, 2 * width, ahead))
        return false;
    memcpy(&start, bytes, width);
    memcpy(&size, bytes + width, width);
    if (known_start == 0) {
        if ((entry->pointer_encoding & 0x0f) == 0x0b)
            start = (uint64_t)(int64_t)(int32_t)start;
        if ((entry->pointer_encoding & 0x70) == 0x10) /* pcrel */
            start += entry->pc_field;
        else if ((entry->pointer_encoding & 0x70) != 0)
            return false;
        known_start = start;
    }
    out->start = known_start;
    out->end = known_start + size;
    out->signal_frame = entry->signal_frame;
    return out->end > out->start;
}

/*
 * Searches .eh_frame_hdr. 1: found; 0: the table has no function at `site`, and [out->end,
 * out->next) is the gap around it; -1: no usable table.
 */
static int table_find(const struct patch_operations *operations, uint64_t header, uint64_t site,
                      struct patch_function *out)
{
    struct {
        uint8_t version, frame_encoding, count_encoding, table_encoding;
        int32_t frame;
        uint32_t count;
    } head;
    struct table_entry block[SEARCH_BLOCK + 1], probe;
    if (header == 0 || !read_all(operations, header, &head, sizeof head) || head.version != 1 ||
        encoded_bytes(head.frame_encoding) != 4 || head.count_encoding != 0x03 || head.table_encoding != 0x3b ||
        head.count == 0)
        return -1;
    int64_t wanted = (int64_t)(site - header);
    uint64_t low = 0, high = head.count, table = header + sizeof head;
    while (high - low > SEARCH_BLOCK) {
        uint64_t middle = low + (high - low) / 2;
        if (!read_all(operations, table + middle * sizeof probe, &probe, sizeof probe))
            return -1;
        if (probe.start <= wanted)
            low = middle;
        else
            high = middle;
    }
    uint64_t count = high - low + (high < head.count);
    if (!read_all(operations, table + low * sizeof probe, block, count * sizeof probe))
        return -1;
    uint64_t i = 0;
    while (i < count && block[i].start <= wanted)
        i++;
    if (i < count)
        out->next = header + (uint64_t)(int64_t)block[i].start;
    if (i == 0)
        return 0;
    struct frame_entry entry = {0};
    uint64_t start = header + (uint64_t)(int64_t)block[i - 1].start;
    if (frame_read(operations, header + (uint64_t)(int64_t)block[i - 1].fde, FETCH_FRAME, &entry) != 1 ||
        !frame_range(operations, &entry, start, FETCH_FRAME, out))
        return -1;
    return site < out->end;
}

/* The first CIE that compilers write: version 1, "zR", code alignment 1, data alignment -8, return
 * address 16. */
static const uint8_t first_common[] = {0x14, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 0x10, 1, 0x1b};

static uint64_t frames_search(const struct patch_operations *operations, uint64_t start, uint64_t end)
{
    const size_t overlap = sizeof first_common;
    if (end - start > SCAN_BYTES_MAX)
        end = start + SCAN_BYTES_MAX;
    part.size = 0;
    for (uint64_t at = start; at + overlap < end; at += sizeof part.bytes - overlap) {
        size_t wanted = end - at < sizeof part.bytes ? end - at : sizeof part.bytes;
        size_t size = operations->read(at, part.bytes, wanted);
        const uint8_t *found = memmem(part.bytes, size, first_common, sizeof first_common);
        if (found)
            return at + (uint64_t)(found - part.bytes);
        if (size < wanted)
            break;
    }
    return 0;
}

/*
 * Static programs that are not position-independent have .eh_frame but no search table: walk the
 * records. That is a fraction of a millisecond for a C program; the last object's start of the
 * records is remembered, and checked by use.
 */
static bool frames_find(const struct patch_operations *operations, const struct patch_object *object, uint64_t site,
                        struct patch_function *out)
{
    static uint64_t last_bias, last_range, last_frames;
    uint64_t range = object->read_only_count ? object->read_only[0][0] : 0;
    uint8_t check[sizeof first_common];
    if (last_frames == 0 || last_bias != object->bias || last_range != range ||
        !read_all(operations, last_frames, check, sizeof check) || memcmp(check, first_common, sizeof check) != 0) {
        last_frames = 0;
        for (unsigned i = 0; i < object->read_only_count && last_frames == 0; i++)
            last_frames = frames_search(operations, object->read_only[i][0], object->read_only[i][1]);
        last_bias = object->bias;
        last_range = range;
    }
    uint64_t at = last_frames;
    bool found = false;
    struct frame_entry entry = {0};
    for (unsigned i = 0; at != 0 && i < FRAMES_MAX; i++) {
        struct patch_function candidate;
        int kind = frame_read(operations, at, sizeof part.bytes, &entry);
        if (kind < 0)
            break;
        at = entry.after;
        if (kind == 0 || !frame_range(operations, &entry, 0, sizeof part.bytes, &candidate))
            continue;
        if (site >= candidate.start && site < candidate.end) {
            candidate.next = out->next;
            *out = candidate;
            found = true;
        } else if (candidate.start > site && candidate.start < out->next) {
            out->next = candidate.start;
        }
    }
    return found;
}

bool function_find(const struct patch_operations *operations, uint64_t site, uint64_t object_start, uint64_t map_start,
                   uint64_t map_end, struct patch_function *out)
{
    struct patch_object object;
    part.size = 0;
    if (object_start == 0 || !object_read(operations, object_start, &object))
        return false;
    struct patch_function table = {.start = map_start, .end = map_start, .next = map_end};
    int found = table_find(operations, object.eh_frame_hdr, site, &table);
    if (found == 1) {
        *out = table;
    } else {
        /* Assembly without unwind information, or a library compiled without it: musl's. */
        struct patch_function symbols = {.start = map_start, .end = map_start, .next = map_end};
        bool known = symbols_find(operations, &object, object_start, site, &symbols);
        /* A function may end its unwind entry early, as clone(2) does where there is nothing to
         * unwind to. */
        if (known && found == 0)
            known = symbols.start >= table.end || symbols.start == table.start;
        if (!known) {
            if (found == 0 || !frames_find(operations, &object, site, &table))
                return false;
            symbols = table;
        }
        *out = symbols;
        if (found == 0 && table.next < out->next)
            out->next = table.next;
        if (out->end > out->next)
            out->end = out->next;
    }
    if (out->end > map_end)
        out->end = map_end;
    if (out->next > map_end)
        out->next = map_end;
    if (out->next < out->end)
        out->next = out->end;
    return out->start >= map_start && site >= out->start && site + SYSCALL_BYTES <= out->end &&
           out->end - out->start <= FUNCTION_BYTES_MAX;
}
