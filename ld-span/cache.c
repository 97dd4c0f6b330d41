/*
 * Reads /etc/ld.so.cache. Not for choosing between it and other places (search.c).
 */
#include "ld-span/cache.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_BYTES_MAX (256u << 20)
#define CACHE_MAGIC     "glibc-ld.so.cache1.1"
#define CACHE_OLD_MAGIC "ld.so-1.7.0"

#define FLAG_X86_64_LIBC6 0x0303 /* FLAG_X8664_LIB64 | FLAG_ELF_LIBC6 */
#define FLAG_MASK         0xffff

/* hwcap field: with this bit alone, the low word is an index into the table of glibc-hwcaps names.
 */
#define HWCAP_EXTENSION (1ul << 62)

#define EXTENSION_MAGIC  0xeaa42174u
#define EXTENSION_HWCAPS 1u

struct cache_old_header {
    char magic[12]; /* 11 and padding */
    uint32_t count;
};
#define CACHE_OLD_ENTRY_BYTES 12u

struct cache_header {
    char magic[20];
    uint32_t count, string_bytes;
    uint8_t flags, padding[3];
    uint32_t extension_offset;
    uint32_t unused[3];
};

struct cache_entry {
    uint32_t flags, key, value, os_version;
    uint64_t hwcap;
};

struct extension_section {
    uint32_t tag, flags, offset, size;
};

_Static_assert(sizeof(struct cache_header) == 48 && sizeof(struct cache_entry) == 24, "as glibc has them");

/* Start of the new format, which may follow an old one in the same file; false when it is not all
 * there. */
static bool format_find(const char *bytes, size_t size, size_t *start)
{
    *start = 0;
    if (size >= sizeof(struct cache_old_header) && !memcmp(bytes, CACHE_OLD_MAGIC, sizeof CACHE_OLD_MAGIC - 1)) {
        struct cache_old_header old;
        memcpy(&old, bytes, sizeof old);
        uint64_t end = sizeof old + (uint64_t)old.count * CACHE_OLD_ENTRY_BYTES;
        *start = (size_t)((end + 7) & ~7ul);
    }
    struct cache_header header;
    if (*start > size || size - *start < sizeof header)
        return false;
    memcpy(&header, bytes + *start, sizeof header);
    return !memcmp(header.magic, CACHE_MAGIC, sizeof header.magic) &&
           header.count <= (size - *start - sizeof header) / sizeof(struct cache_entry);
}

void cache_open(const char *path, struct cache *cache)
{
    struct stat status;
    size_t start;
    memset(cache, 0, sizeof *cache);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return;
    void *bytes = MAP_FAILED;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 && status.st_size <= CACHE_BYTES_MAX)
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (bytes == MAP_FAILED)
        return;
    if (!format_find(bytes, (size_t)status.st_size, &start)) {
        munmap(bytes, (size_t)status.st_size);
        return;
    }
    cache->bytes = bytes;
    cache->size = (size_t)status.st_size;
}

void cache_close(struct cache *cache)
{
    if (cache->bytes)
        munmap((void *)(uintptr_t)cache->bytes, cache->size);
    cache->bytes = NULL;
}

/* The string at `offset` from the start of the format; NULL when it does not end in the file. */
static const char *string_at(const struct cache *cache, size_t start, uint64_t offset)
{
    if (offset >= cache->size - start || !memchr(cache->bytes + start + offset, '\0', cache->size - start - offset))
        return NULL;
    return cache->bytes + start + offset;
}

/* Name number `index` of the glibc-hwcaps table; NULL when there is none. */
static const char *hwcap_name(const struct cache *cache, size_t start, const struct cache_header *header,
                              uint32_t index)
{
    size_t size = cache->size - start, at = header->extension_offset;
    uint32_t head[2];
    if (at == 0 || at % 4 || at > size || size - at < sizeof head)
        return NULL;
    memcpy(head, cache->bytes + start + at, sizeof head);
    if (head[0] != EXTENSION_MAGIC || head[1] > (size - at - sizeof head) / sizeof(struct extension_section))
        return NULL;
    for (uint32_t i = 0; i < head[1]; i++) {
        struct extension_section section;
        memcpy(&section, cache->bytes + start + at + sizeof head + i * sizeof section, sizeof section);
        if (section.tag != EXTENSION_HWCAPS || section.offset > size || section.size > size - section.offset ||
            index >= section.size / sizeof(uint32_t))
            continue;
        uint32_t offset;
        memcpy(&offset, cache->bytes + start + section.offset + index * sizeof offset, sizeof offset);
        return string_at(cache, start, offset);
    }
    return NULL;
}

/* Rank of an entry, 0 the best; -1: not for this processor. Entries without a subdirectory come
 * last. */
static int entry_rank(const struct cache *cache, size_t start, const struct cache_header *header, uint64_t hwcap,
                      const char *const *hwcaps)
{
    int rank = 0;
    const char *name = hwcap & HWCAP_EXTENSION ? hwcap_name(cache, start, header, (uint32_t)hwcap) : NULL;
    for (; hwcaps[rank]; rank++) {
        if (name && !strcmp(hwcaps[rank], name))
            return rank;
    }
    return hwcap == 0 ? rank : -1;
}

bool cache_find(const struct cache *cache, const char *name, const char *const *hwcaps, char out[PATH_MAX])
{
    size_t start;
    if (!cache->bytes || !format_find(cache->bytes, cache->size, &start))
        return false;
    struct cache_header header;
    memcpy(&header, cache->bytes + start, sizeof header);
    int best = -1;
    /* Linear: the order of the file is a claim, and this is no hot path. */
    for (uint32_t i = 0; i < header.count; i++) {
        struct cache_entry entry;
        memcpy(&entry, cache->bytes + start + sizeof header + i * sizeof entry, sizeof entry);
        if ((entry.flags & FLAG_MASK) != FLAG_X86_64_LIBC6)
            continue;
        const char *key = string_at(cache, start, entry.key), *value = string_at(cache, start, entry.value);
        if (!key || !value || strcmp(key, name) != 0 || strlen(value) >= PATH_MAX)
            continue;
        int rank = entry_rank(cache, start, &header, entry.hwcap, hwcaps);
        if (rank < 0 || (best >= 0 && rank >= best))
            continue;
        best = rank;
        strcpy(out, value);
    }
    return best >= 0;
}
