/*
 * Searches for shared objects as ld.so(8) has it. Not for the cache's format (cache.c).
 */
#include "ld-span/search.h"

#include <cpuid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "ld-span/cache.h"
#include "ld-span/closure.h"
#include "ld-span/image.h"

#define LIB_TOKEN "lib/x86_64-linux-gnu"

/* Where distributions put 64-bit libraries: those of others than this machine's are just not there.
 */
static const char *const default_glibc[] = {
    "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", NULL,
};
static const char *const default_musl[] = {"/lib", "/usr/local/lib", "/usr/lib", NULL};
#define MUSL_PATH_FILE "/etc/ld-musl-x86_64.path"

/* ---- glibc-hwcaps
 * ------------------------------------------------------------------------------------------------
 */

static bool bits(uint32_t value, uint32_t mask)
{
    return (value & mask) == mask;
}

/* Level 1 to 4 of the x86-64 psABI, with what the kernel enables of the vector state. */
static unsigned processor_level(void)
{
    unsigned a, b, c, d, b7 = 0, c7, d7, a_ext, b_ext, c_ext = 0, d_ext;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 1;
    __get_cpuid_count(7, 0, &a, &b7, &c7, &d7);
    __get_cpuid(0x80000001, &a_ext, &b_ext, &c_ext, &d_ext);
    if (!bits(c, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B) ||
        !bits(c_ext, bit_LAHF_LM))
        return 1;
    uint32_t low = 0, high;
    if (bits(c, bit_OSXSAVE))
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (!bits(low, 6) || !bits(c, bit_AVX | bit_F16C | bit_FMA | bit_MOVBE) ||
        !bits(b7, bit_AVX2 | bit_BMI | bit_BMI2) || !bits(c_ext, bit_LZCNT))
        return 2;
    if (!bits(low, 0xe6) || !bits(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL))
        return 3;
    return 4;
}

static bool list_has(const char *list, const char *separators, const char *name, size_t length)
{
    while (*list) {
        size_t size = strcspn(list, separators);
        if (size == length && !memcmp(list, name, length))
            return true;
        list += size + (list[size] != '\0');
    }
    return false;
}

const char *const *search_hwcaps(const struct search_options *options)
{
    static const char *names[SEARCH_HWCAPS_MAX + 4];
    static char prepended[PATH_MAX];
    static const char *const levels[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
    size_t count = 0;
    if (options->hwcaps_prepend) {
        char *save = NULL;
        snprintf(prepended, sizeof prepended, "%s", options->hwcaps_prepend);
        for (char *name = strtok_r(prepended, ":", &save); name && count < SEARCH_HWCAPS_MAX;
             name = strtok_r(NULL, ":", &save))
            names[count++] = name;
    }
    for (unsigned level = 4; level >= 2; level--) {
        const char *name = levels[4 - level];
        if (level <= processor_level() &&
            (!options->hwcaps_mask || list_has(options->hwcaps_mask, ":", name, strlen(name))))
            names[count++] = name;
    }
    names[count] = NULL;
    return names;
}

/* ---- dynamic string tokens
 * --------------------------------------------------------------------------------------- */

/* The token that starts at `text` ("$ORIGIN" or "${ORIGIN}"): bytes it takes, 0 when it is another
 * one. */
static size_t token_match(const char *text, const char *token)
{
    size_t length = strlen(token);
    bool brace = text[1] == '{';
    const char *name = text + 1 + brace;
    if (strncmp(name, token, length) != 0)
        return 0;
    if (brace)
        return name[length] == '}' ? length + 3 : 0;
    bool more = name[length] == '_' || (name[length] >= '0' && name[length] <= '9') ||
                ((name[length] | 0x20) >= 'a' && (name[length] | 0x20) <= 'z');
    return more ? 0 : length + 1;
}

bool search_expand(const char *text, const char *path, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/'), *platform = (const char *)getauxval(AT_PLATFORM);
    char origin[PATH_MAX];
    int origin_length = slash ? (int)(slash - path) : 0;
    snprintf(origin, sizeof origin, "%.*s", origin_length ? origin_length : 1,
             slash == path ? "/"
             : slash       ? path
                           : ".");
    const char *const tokens[][2] = {
        {"ORIGIN", origin}, {"LIB", LIB_TOKEN}, {"PLATFORM", platform ? platform : "x86_64"}};
    size_t used = 0;
    while (*text) {
        const char *piece = text;
        size_t length = 1, taken = 1;
        if (*text == '$') {
            taken = 0;
            for (size_t i = 0; i < sizeof tokens / sizeof tokens[0] && !taken; i++) {
                taken = token_match(text, tokens[i][0]);
                piece = tokens[i][1];
            }
            if (!taken)
                return false;
            length = strlen(piece);
        }
        if (used + length >= PATH_MAX)
            return false;
        memcpy(out + used, piece, length);
        used += length;
        text += taken;
    }
    out[used] = '\0';
    return true;
}

/* ---- the search
 * ---------------------------------------------------------------------------------------------------
 */

struct search {
    const struct search_options *options;
    const char *name;
    char *out;
};

static bool file_usable(const char *path)
{
    static struct image image;
    char why[WIRE_MESSAGE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool usable = image_check(fd, path, &image, why) == 0;
    close(fd);
    return usable;
}

static bool directory_try(const struct search *search, const char *directory)
{
    const char *const none[] = {NULL};
    const char *const *hwcaps = search->options->musl ? none : search_hwcaps(search->options);
    for (; *hwcaps; hwcaps++) {
        int size = snprintf(search->out, PATH_MAX, "%s/glibc-hwcaps/%s/%s", directory, *hwcaps, search->name);
        if (size < PATH_MAX && file_usable(search->out))
            return true;
    }
    int size = snprintf(search->out, PATH_MAX, "%s/%s", directory, search->name);
    return size < PATH_MAX && file_usable(search->out);
}

/* Each directory of a list; `origin`: path of the object that the list belongs to. */
static bool list_try(const struct search *search, const char *list, const char *separators, const char *origin)
{
    while (list) {
        char element[PATH_MAX], directory[PATH_MAX];
        size_t length = strcspn(list, separators);
        if (length < PATH_MAX) {
            memcpy(element, list, length);
            element[length] = '\0';
            while (length > 1 && element[length - 1] == '/')
                element[--length] = '\0';
            /* An empty element is the current directory. */
            if (search_expand(length ? element : ".", origin, directory) && directory_try(search, directory))
                return true;
        }
        list += strcspn(list, separators);
        list = *list ? list + 1 : NULL;
    }
    return false;
}

static bool paths_inhibited(const struct search_options *options, const struct closure_object *object)
{
    return options->inhibit_rpath && list_has(options->inhibit_rpath, ": ", object->path, strlen(object->path));
}

/* RPATH of the object that needs it, of what loaded that, and so on up to the program. */
static bool rpath_try(const struct search *search, const struct closure *closure, size_t loader)
{
    bool program_seen = false;
    for (int i = (int)loader; i >= 0; i = closure->objects[i].loader) {
        const struct closure_object *object = &closure->objects[i];
        program_seen |= i == 0;
        if (object->rpath && !paths_inhibited(search->options, object) &&
            list_try(search, object->rpath, ":", object->path))
            return true;
    }
    const struct closure_object *program = &closure->objects[0];
    return !program_seen && program->rpath && !paths_inhibited(search->options, program) &&
           list_try(search, program->rpath, ":", program->path);
}

static bool defaults_try(const struct search *search)
{
    const char *const *directories = search->options->musl ? default_musl : default_glibc;
    if (search->options->musl) {
        char list[PATH_MAX];
        FILE *file = fopen(MUSL_PATH_FILE, "re");
        if (file) {
            size_t size = fread(list, 1, sizeof list - 1, file);
            fclose(file);
            list[size] = '\0';
            return list_try(search, list, ":\n", "/");
        }
    }
    for (; *directories; directories++) {
        if (directory_try(search, *directories))
            return true;
    }
    return false;
}

static bool cache_try(const struct search *search)
{
    struct cache cache;
    cache_open(CACHE_PATH, &cache);
    bool found =
        cache_find(&cache, search->name, search_hwcaps(search->options), search->out) && file_usable(search->out);
    cache_close(&cache);
    return found;
}

bool search_object(const struct search_options *options, const struct closure *closure, size_t loader, const char *name,
                   char out[PATH_MAX])
{
    const struct search search = {options, name, out};
    const struct closure_object *object = &closure->objects[loader];
    const struct closure_object *program = &closure->objects[0];
    if (strchr(name, '/'))
        return search_expand(name, object->path, out) && file_usable(out);
    /* musl looks at both kinds of path after LD_LIBRARY_PATH, and up the chain of loaders. */
    if (!options->musl && !object->runpath && rpath_try(&search, closure, loader))
        return true;
    if (options->library_path && options->library_path[0] &&
        list_try(&search, options->library_path, ":;", program->path))
        return true;
    if (options->musl && rpath_try(&search, closure, loader))
        return true;
    if (object->runpath && !paths_inhibited(options, object) && list_try(&search, object->runpath, ":", object->path))
        return true;
    if (object->no_default)
        return false;
    return (!options->musl && !options->inhibit_cache && cache_try(&search)) || defaults_try(&search);
}
