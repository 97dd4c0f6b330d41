/*
 * Hands options on to the rtld, and to the OpenCL loader of the program. Not for what they mean.
 */
#include "ld-span/environment.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t variable_find(char *envp[], const char *name)
{
    size_t i = 0, length = strlen(name);
    while (envp[i] && (strncmp(envp[i], name, length) != 0 || envp[i][length] != '='))
        i++;
    return i;
}

/* Is `list` already the last part of `value`? A child is given the option and the variable made
 * from it. */
static bool list_ends_with(const char *value, const char *list)
{
    size_t length = strlen(value), tail = strlen(list);
    return length >= tail && !strcmp(value + length - tail, list) &&
           (length == tail || value[length - tail - 1] == ':');
}

/* Sets a variable, or adds to the list that it holds. There is room for one more. */
static bool variable_set(char *envp[], const char *name, const char *text, bool add)
{
    size_t i = variable_find(envp, name);
    bool present = envp[i];
    const char *old = present && add ? envp[i] + strlen(name) + 1 : "";
    if (old[0] && list_ends_with(old, text))
        return true;
    if (!present)
        envp[i + 1] = NULL;
    return asprintf(&envp[i], "%s=%s%s%s", name, old, old[0] ? ":" : "", text) >= 0;
}

/*
 * The layer of coprocessor streams: beside ld-span.so, or where the program's libraries are looked
 * for, as after an installation or when ld-span.so was started as an interpreter.
 */
static bool layer_set(char *envp[], const char *mode)
{
    static const char name[] = "libspan-cl.so";
    char path[PATH_MAX + sizeof name];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    while (length > 0 && path[length - 1] != '/')
        length--;
    memcpy(path + (length > 0 ? length : 0), name, sizeof name);
    return variable_set(envp, "OPENCL_LAYERS", access(path, R_OK) == 0 ? path : name, true) &&
           variable_set(envp, "SPAN_COPROC", mode, false);
}

char **environment_for_rtld(const struct span_options *options, char *envp[])
{
    bool layer = options->coproc && strcmp(options->coproc, "off") != 0;
    if (!options->library_path && !options->preload && !options->audit && !layer)
        return envp;
    size_t count = 0;
    while (envp[count])
        count++;
    char **copy = calloc(count + 6, sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy, envp, count * sizeof *copy);
    bool done = (!options->library_path || variable_set(copy, "LD_LIBRARY_PATH", options->library_path, false)) &&
                (!options->preload || variable_set(copy, "LD_PRELOAD", options->preload, true)) &&
                (!options->audit || variable_set(copy, "LD_AUDIT", options->audit, true)) &&
                (!layer || layer_set(copy, options->coproc));
    return done ? copy : NULL; /* NOLINT(clang-analyzer-unix.Malloc): the process ends */
}

char **environment_rtld_arguments(const struct span_options *options, const char *rtld, const char *path, char *argv[],
                                  int argc)
{
    char **out = calloc((size_t)argc + 16, sizeof *out);
    if (!out)
        return NULL;
    const char *pairs[][2] = {
        {"--inhibit-rpath", options->inhibit_rpath},
        {"--glibc-hwcaps-prepend", options->hwcaps_prepend},
        {"--glibc-hwcaps-mask", options->hwcaps_mask},
        {"--argv0", argc > 0 ? argv[0] : NULL},
    };
    size_t n = 0;
    out[n++] = (char *)(uintptr_t)rtld;
    if (options->inhibit_cache)
        out[n++] = (char *)(uintptr_t) "--inhibit-cache";
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (!pairs[i][1])
            continue;
        out[n++] = (char *)(uintptr_t)pairs[i][0];
        out[n++] = (char *)(uintptr_t)pairs[i][1];
    }
    out[n++] = (char *)(uintptr_t)path;
    for (int i = 1; i < argc; i++)
        out[n++] = argv[i];
    return out;
}
