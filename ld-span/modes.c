/*
 * Modes that end before a program is loaded. Not for their contents: closure.c, options_help.c, the
 * system's rtld.
 */
#include "ld-span/modes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/closure.h"
#include "ld-span/handover.h"
#include "ld-span/program.h"
#include "ld-span/rtld.h"
#include "monitor/fatal.h"

#define VERIFY_DYNAMIC     0
#define VERIFY_NOT_DYNAMIC 1
#define VERIFY_LIBRARY     2 /* dynamic, but names no interpreter */

static void diagnostics_print(const struct span_options *options)
{
    static const char *const places[] = {"spread", "pack", "home"}, *const compress[] = {"auto", "always", "never"};
    printf("span.version=\"%s\"\nspan.wire_version=%u\n", SPAN_VERSION, WIRE_VERSION);
    printf("span.local=%u\nspan.nodes=\"%s\"\nspan.place=\"%s\"\n", options->local,
           options->nodes ? options->nodes : "", places[options->place]);
    printf("span.compress=\"%s\"\nspan.key=\"%s\"\nspan.balance=%d\nspan.ahead=%d\n", compress[options->compress],
           options->key ? options->key : "", !options->no_balance, !options->no_ahead);
    printf("span.pin=%d\nspan.patch=%d\nspan.follow=%d\nspan.timeout_ms=%u\n", !options->no_pin, !options->no_patch,
           !options->no_follow, options->timeout_ms);
    printf("span.zone.start=0x%lx\nspan.zone.end=0x%lx\n", SPAN_ZONE_START, SPAN_ZONE_END);
    fflush(stdout);
}

void mode_run_early(const struct span_options *options, const char *self, char *envp[])
{
    char *diagnostics[] = {(char *)(uintptr_t)RTLD_GLIBC, (char *)(uintptr_t) "--list-diagnostics", NULL};
    char *tunables[] = {(char *)(uintptr_t)RTLD_GLIBC, (char *)(uintptr_t) "--list-tunables", NULL};
    switch (options->mode) {
    case SPAN_HELP:
        options_help(self && self[0] ? self : "ld-span.so");
        exit(0);
    case SPAN_SHOW_VERSION:
        printf("ld-span %s\n", SPAN_VERSION);
        exit(0);
    case SPAN_LIST_DIAGNOSTICS:
        diagnostics_print(options);
        handover_exec(RTLD_GLIBC, diagnostics, envp);
    case SPAN_LIST_TUNABLES:
        handover_exec(RTLD_GLIBC, tunables, envp);
    default:
        return;
    }
}

static int list_print(const struct span_options *options, const char *path, const struct image *image, const char *rtld,
                      uint64_t vdso)
{
    struct search_options search = {
        .library_path = options->library_path ? options->library_path : getenv("LD_LIBRARY_PATH"),
        .inhibit_rpath = options->inhibit_rpath,
        .inhibit_cache = options->inhibit_cache,
        .hwcaps_prepend = options->hwcaps_prepend,
        .hwcaps_mask = options->hwcaps_mask,
        .musl = rtld_is_musl(rtld),
    };
    char preload[PATH_MAX * 2], why[WIRE_MESSAGE_BYTES];
    const char *variable = getenv("LD_PRELOAD");
    snprintf(preload, sizeof preload, "%s:%s", variable ? variable : "", options->preload ? options->preload : "");
    /* A library names no rtld; listed, it is as if glibc's were asked. */
    if (!rtld[0] && image->has_dynamic)
        rtld = RTLD_GLIBC;
    struct closure_request request = {path, image, rtld, preload, &search};
    struct closure closure;
    if (closure_compute(&request, &closure, why)) {
        span_warn("%s", why);
        return SPAN_EXIT_FAILURE;
    }
    closure_print(&closure, search.musl ? 0 : vdso, stdout);
    closure_free(&closure);
    return fflush(stdout) ? SPAN_EXIT_FAILURE : 0;
}

void mode_run_look(const struct span_options *options, const char *path, const struct image *image, const char *rtld,
                   uint64_t vdso)
{
    if (options->mode == SPAN_LIST)
        exit(list_print(options, path, image, rtld, vdso));
    if (options->mode == SPAN_VERIFY)
        exit(!image->has_dynamic ? VERIFY_NOT_DYNAMIC : image->has_interpreter ? VERIFY_DYNAMIC : VERIFY_LIBRARY);
}

_Noreturn void mode_run_secure(int argc, char *argv[], char *envp[])
{
    static struct span_options options;
    static struct program program;
    char why[WIRE_MESSAGE_BYTES];
    struct stat self;
    /* The privileges of a set-user-ID ld-span.so would go to any program that anybody names. */
    if (stat("/proc/self/exe", &self) < 0 || self.st_mode & (S_ISUID | S_ISGID))
        span_fatal("ld-span.so is installed set-user-ID or set-group-ID: refused (chmod ug-s ld-span.so)");
    int first = options_parse_more(&options, argc, argv, why);
    if (first < 0)
        span_fatal("%s", why);
    mode_run_early(&options, argv[0], envp);
    if (first == argc || options.mode != SPAN_RUN)
        span_fatal("with the rights of another user only a program can be run (ld-span.so PROGRAM)");
    int status = program_open(argc - first, argv + first, options.argv0, NULL, false, &program, why);
    if (status) {
        span_warn("%s", why);
        exit(status);
    }
    handover_exec(program.name, argv + first, envp);
}
