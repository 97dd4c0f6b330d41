/*
 * Function bounds around a call site, from the dynamic symbol table: for code without unwind
 * information. Not for section headers or .symtab, which are not mapped.
 *
 * A dynamic table does not name static functions. The range from the last symbol at or before the
 * site to the first one behind it then holds several functions; it is decoded as one, which is
 * right for compiled code: it has no data in its text, and the padding between functions is made of
 * instructions.
 */
#include <elf.h>
#include <string.h>

#include "syscall/patch_private.h"

#define DYNAMIC_MAX  128
#define SYMBOLS_MAX  (1u << 20)
#define SYMBOL_BLOCK 512

struct symbol_tables {
    uint64_t symbols, hash, gnu_hash;
};

static bool tables_read(const struct patch_operations *operations, const struct patch_object *object,
                        uint64_t object_start, struct symbol_tables *out)
{
    Elf64_Dyn list[DYNAMIC_MAX];
    memset(out, 0, sizeof *out);
    size_t size = object->dynamic ? operations->read(object->dynamic, list, sizeof list) : 0;
    for (unsigned i = 0; i < size / sizeof list[0] && list[i].d_tag != DT_NULL; i++) {
        uint64_t value = list[i].d_un.d_ptr;
        if (value < object_start) /* rtlds differ in whether they relocate the entries in place */
            value += object->bias;
        if (list[i].d_tag == DT_SYMTAB)
            out->symbols = value;
        else if (list[i].d_tag == DT_HASH)
            out->hash = value;
        else if (list[i].d_tag == DT_GNU_HASH)
            out->gnu_hash = value;
    }
    return out->symbols != 0;
}

/* Highest symbol index in the GNU table's buckets, then along its chain. */
static uint32_t gnu_count(const struct patch_operations *operations, uint64_t table)
{
    struct {
        uint32_t buckets, first, bloom_words, bloom_shift;
    } head;
    uint32_t block[1024], last = 0;
    if (operations->read(table, &head, sizeof head) != sizeof head || head.buckets > SYMBOLS_MAX ||
        head.bloom_words > SYMBOLS_MAX)
        return 0;
    uint64_t buckets = table + sizeof head + head.bloom_words * 8ul;
    for (uint32_t done = 0; done < head.buckets;) {
        uint32_t count = head.buckets - done < 1024 ? head.buckets - done : 1024;
        if (operations->read(buckets + done * 4ul, block, count * 4ul) != count * 4ul)
            return 0;
        for (uint32_t i = 0; i < count; i++)
            last = block[i] > last ? block[i] : last;
        done += count;
    }
    if (last < head.first)
        return head.first;
    uint64_t chains = buckets + head.buckets * 4ul;
    for (; last < SYMBOLS_MAX; last++) {
        uint32_t chain;
        if (operations->read(chains + (last - head.first) * 4ul, &chain, 4) != 4)
            return 0;
        if (chain & 1)
            return last + 1;
    }
    return 0;
}

static uint32_t symbol_count(const struct patch_operations *operations, const struct symbol_tables *tables)
{
    uint32_t head[2] = {0, 0};
    if (tables->hash && operations->read(tables->hash, head, sizeof head) == sizeof head)
        return head[1];
    return tables->gnu_hash ? gnu_count(operations, tables->gnu_hash) : 0;
}

bool symbols_find(const struct patch_operations *operations, const struct patch_object *object, uint64_t object_start,
                  uint64_t site, struct patch_function *out)
{
    struct symbol_tables tables;
    if (!tables_read(operations, object, object_start, &tables))
        return false;
    uint32_t count = symbol_count(operations, &tables);
    uint64_t best = 0, best_size = 0;
    if (count > SYMBOLS_MAX)
        return false;
    Elf64_Sym block[SYMBOL_BLOCK];
    for (uint32_t done = 0; done < count;) {
        uint32_t part = count - done < SYMBOL_BLOCK ? count - done : SYMBOL_BLOCK;
        if (operations->read(tables.symbols + done * sizeof block[0], block, part * sizeof block[0]) !=
            part * sizeof block[0])
            return false;
        for (uint32_t i = 0; i < part; i++) {
            unsigned type = ELF64_ST_TYPE(block[i].st_info);
            uint64_t value = object->bias + block[i].st_value;
            if (block[i].st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC))
                continue;
            if (value <= site && value >= best) {
                best_size = value > best || block[i].st_size > best_size ? block[i].st_size : best_size;
                best = value;
            } else if (value > site && value < out->next) {
                out->next = value;
            }
        }
        done += part;
    }
    if (best == 0)
        return false;
    out->start = best;
    out->end = site < best + best_size ? best + best_size : out->next;
    out->signal_frame = false;
    return true;
}
