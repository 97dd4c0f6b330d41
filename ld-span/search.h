/*
 * Search: where a shared object is, by the rules of ld.so(8): RPATH, LD_LIBRARY_PATH, RUNPATH,
 * cache, default paths. Not for what is in an object (closure.h).
 */
#ifndef LD_SPAN_SEARCH_H
#define LD_SPAN_SEARCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct closure;

struct search_options {
    const char *library_path;                 /* LD_LIBRARY_PATH or --library-path, NULL: none */
    const char *inhibit_rpath;                /* list of objects whose RPATH and RUNPATH do not count, NULL: none */
    const char *hwcaps_prepend, *hwcaps_mask; /* lists, NULL: none; see ld.so(8) */
    bool inhibit_cache;
    bool musl; /* musl's rules: no cache, other default paths */
};

/*
 * Finds `name`, needed by object `loader` of the closure. True and its path in `out`; an object of
 * another class or machine is passed over.
 */
bool search_object(const struct search_options *options, const struct closure *closure, size_t loader, const char *name,
                   char out[PATH_MAX]);

/* Replaces $ORIGIN, $LIB and $PLATFORM in `text` for an object at `path`. False: a token is unknown
 * or it is too long. */
bool search_expand(const char *text, const char *path, char out[PATH_MAX]);

#define SEARCH_HWCAPS_MAX 16

/* Names of the glibc-hwcaps subdirectories to be searched, best first, NULL at the end; valid until
 * the next call. */
const char *const *search_hwcaps(const struct search_options *options);

#endif
