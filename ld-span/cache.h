/*
 * Cache: look-up in /etc/ld.so.cache, format 1.1 of glibc (elf/cache.c, dl-cache.h), all of it
 * checked against its size. Not for the other places of a search (search.h).
 */
#ifndef LD_SPAN_CACHE_H
#define LD_SPAN_CACHE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define CACHE_PATH "/etc/ld.so.cache"

struct cache {
    const char *bytes; /* NULL: there is none, or it is damaged */
    size_t size;
};

/* Maps `path` and checks header and extents; damage is as if there were no cache. */
void cache_open(const char *path, struct cache *cache);
void cache_close(struct cache *cache);
/* Path of `name`, best of `hwcaps` (see search_hwcaps) first. */
bool cache_find(const struct cache *cache, const char *name, const char *const *hwcaps, char out[PATH_MAX]);

#endif
