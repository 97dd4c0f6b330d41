/*
 * ld-span.so: from the command line, or from the kernel as PT_INTERP, to a program that is ready to
 * run. Not for running it: monitor_start does.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/environment.h"
#include "ld-span/handover.h"
#include "ld-span/image.h"
#include "ld-span/layout.h"
#include "ld-span/modes.h"
#include "ld-span/options.h"
#include "ld-span/procinfo.h"
#include "ld-span/program.h"
#include "ld-span/rtld.h"
#include "ld-span/stack.h"
#include "ld-span/start.h"
#include "ld-span/zone.h"
#include "monitor/fatal.h"
#include "monitor/space.h"

#define NESTED_MAX 8 /* ld-span.so in front of ld-span.so */

#define PIE_RANDOM_PAGES (1ul << 28) /* as the kernel's vm.mmap_rnd_bits */
#define BRK_RANDOM_PAGES (1ul << 13)

/* All that is being put together; large, and there is one. */
static struct {
    struct span_options options;
    struct program program;
    struct image image, rtld;
    char rtld_path[PATH_MAX];
    struct stack stack;
    struct program_start start;
    const Elf64_auxv_t *auxv; /* the kernel's */
    uint64_t self_device, self_inode;
    char why[WIRE_MESSAGE_BYTES];
} loader;

static _Noreturn void give_up(int status)
{
    span_warn("%s", loader.why);
    exit(status);
}

static uint64_t auxv_value(uint64_t type)
{
    for (const Elf64_auxv_t *entry = loader.auxv; entry->a_type != AT_NULL; entry++) {
        if (entry->a_type == type)
            return entry->a_un.a_val;
    }
    return 0;
}

static void auxv_find(char **envp)
{
    char **end = envp;
    if (span_original_stack)
        end = span_original_stack + 1 + (long)span_original_stack[0] + 1;
    while (*end)
        end++;
    loader.auxv = (const Elf64_auxv_t *)(end + 1);
}

static void self_identify(void)
{
    struct stat status;
    /* In PT_INTERP mode /proc/self/exe is the program, and its PT_INTERP is us by definition: see
     * program_check. */
    if (!span_started_as_interpreter && stat("/proc/self/exe", &status) == 0) {
        loader.self_device = status.st_dev;
        loader.self_inode = status.st_ino;
    }
}

static bool addresses_are_random(void)
{
    int persona = personality(0xffffffff);
    if (persona != -1 && persona & ADDR_NO_RANDOMIZE)
        return false;
    char value = '2';
    int fd = open("/proc/sys/kernel/randomize_va_space", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &value, 1) != 1)
            value = '2';
        close(fd);
    }
    return value != '0';
}

/* A number of pages below `pages`, a power of two, in bytes. */
static uint64_t random_offset(uint64_t pages)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return 0;
    return (random & (pages - 1)) << PAGE_SHIFT;
}

/* Options and the program's place in argv. Modes that need no program do not return. */
static int command_line_read(int argc, char *argv[], char *envp[])
{
    bool direct = !span_started_as_interpreter;
    int first = options_parse(&loader.options, argc, argv, envp, direct, loader.why);
    if (first < 0)
        give_up(SPAN_EXIT_FAILURE);
    span_verbose_set(loader.options.verbose);
    if (!direct)
        return 0;
    mode_run_early(&loader.options, argv[0], envp);
    if (first == argc) {
        snprintf(loader.why, sizeof loader.why,
                 "no program given (usage: %.60s [options] program [arguments], or --help)",
                 argc > 0 && argv[0][0] ? argv[0] : "ld-span.so");
        give_up(SPAN_EXIT_FAILURE);
    }
    return first;
}

/* Opens the program; when that is ld-span.so itself, its options are read too and its program is
 * run. */
static void program_find(int argc, char *argv[], char *envp[], int first)
{
    for (int nested = 0;; nested++) {
        const char *argv0 = loader.options.argv0;
        int status = program_open(argc - first, argv + first, argv0, loader.options.executed,
                                  loader.options.mode != SPAN_RUN, &loader.program, loader.why);
        if (status && loader.options.mode == SPAN_VERIFY)
            exit(1);
        if (status)
            give_up(status);
        struct stat file;
        if (loader.program.fd < 0 || fstat(loader.program.fd, &file) < 0 || file.st_dev != loader.self_device ||
            file.st_ino != loader.self_inode || loader.options.mode != SPAN_RUN || nested == NESTED_MAX)
            return;
        close(loader.program.fd);
        loader.options.executed = NULL;
        argc = loader.program.argc;
        argv = loader.program.argv;
        first = options_parse_more(&loader.options, argc, argv, loader.why);
        if (first < 0)
            give_up(SPAN_EXIT_FAILURE);
        mode_run_early(&loader.options, argv[0], envp);
        if (first == argc) {
            snprintf(loader.why, sizeof loader.why, "no program given after the second ld-span.so");
            give_up(SPAN_EXIT_FAILURE);
        }
    }
}

/* Checks the program and chooses its rtld; modes that only look end here. */
static void program_check(char *envp[])
{
    struct program *program = &loader.program;
    if (program->native && loader.options.mode == SPAN_RUN) {
        span_verbose("%s: runs natively: it changes identity or cannot be read", program->name);
        handover_exec(program->path, program->argv, envp);
    }
    int error = image_check(program->fd, program->path, &loader.image, loader.why);
    if (error && loader.options.mode == SPAN_VERIFY)
        exit(1);
    if (error)
        give_up(error == -EIO ? SPAN_EXIT_FAILURE : EXIT_NOT_EXECUTABLE);
    struct stat status;
    if (span_started_as_interpreter && stat(loader.image.interpreter, &status) == 0) {
        loader.self_device = status.st_dev;
        loader.self_inode = status.st_ino;
    }
    error = rtld_choose(program->fd, program->path, &loader.image, loader.self_device, loader.self_inode,
                        loader.rtld_path, loader.why);
    if (error && loader.options.mode == SPAN_VERIFY)
        exit(1);
    if (error)
        give_up(EXIT_NOT_FOUND);
    mode_run_look(&loader.options, program->path, &loader.image, loader.rtld_path, auxv_value(AT_SYSINFO_EHDR));
    if (!loader.image.entry_offset) {
        snprintf(loader.why, sizeof loader.why, "%.80s: cannot be run: it has no entry point (a library?)",
                 program->path);
        give_up(EXIT_NOT_EXECUTABLE);
    }
}

/* Opens and checks the rtld; returns its descriptor, -1 when the program needs none. */
static int rtld_open(void)
{
    if (!loader.rtld_path[0])
        return -1;
    int fd = open(loader.rtld_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(loader.why, sizeof loader.why, "%.50s: its rtld %.50s cannot be read: %s (%s)", loader.program.path,
                 loader.rtld_path, strerror(errno), errno == EMFILE ? "raise ulimit -n" : "install its libc");
        give_up(EXIT_NOT_FOUND);
    }
    if (image_check(fd, loader.rtld_path, &loader.rtld, loader.why))
        give_up(EXIT_NOT_EXECUTABLE);
    return fd;
}

/*
 * The rtld's options that no environment variable stands for: it is run in its own command-line
 * mode, and maps the program itself.
 */
static bool rtld_takes_over(void)
{
    const struct span_options *options = &loader.options;
    bool wanted = options->inhibit_cache || options->inhibit_rpath || options->hwcaps_prepend || options->hwcaps_mask;
    if (!wanted || !loader.rtld_path[0])
        return false;
    if (!rtld_is_musl(loader.rtld_path))
        return true;
    span_warn("%s: musl's rtld has no --inhibit-cache, --inhibit-rpath or --glibc-hwcaps options "
              "(ignored)",
              loader.program.path);
    return false;
}

static void images_load(int rtld_fd)
{
    struct program *program = &loader.program;
    bool random = addresses_are_random(), take_over = rtld_takes_over();
    uint64_t base = IMAGE_PIE_BASE + (random ? random_offset(PIE_RANDOM_PAGES) : 0);
    struct image *image = &loader.image;
    int fd = program->fd;
    const char *path = program->path;
    if (take_over) {
        program->argv =
            environment_rtld_arguments(&loader.options, loader.rtld_path, program->path, program->argv, program->argc);
        if (!program->argv)
            span_fatal("no memory for the program's arguments");
        *image = loader.rtld;
        fd = rtld_fd;
        path = loader.rtld_path;
    }
    if (image_load(fd, path, image, base, loader.why))
        give_up(SPAN_EXIT_FAILURE);
    if (rtld_fd >= 0 && !take_over && image_load(rtld_fd, loader.rtld_path, &loader.rtld, 0, loader.why))
        give_up(SPAN_EXIT_FAILURE);
    if (take_over)
        loader.rtld_path[0] = '\0';
    close(program->fd);
    if (rtld_fd >= 0)
        close(rtld_fd);
    image->brk_start += random ? random_offset(BRK_RANDOM_PAGES) : 0;
    space_brk_start(image->brk_start);
}

static void stack_make(char *envp[])
{
    const struct program *program = &loader.program;
    bool bound = loader.rtld_path[0];
    envp = environment_for_rtld(&loader.options, envp);
    if (!envp)
        span_fatal("no memory for the program's environment");
    struct stack_request request = {
        .argv = program->argv,
        .envp = envp,
        .auxv = loader.auxv,
        .name = program->name,
        .headers_address = loader.image.headers_address,
        .header_count = loader.image.header_count,
        .entry = loader.image.entry,
        .base = bound ? loader.rtld.start : 0,
        .vdso = monitor_vdso ? monitor_vdso() : 0,
        .executable = loader.image.stack_executable,
    };
    if (stack_build(&request, &loader.stack, loader.why))
        give_up(SPAN_EXIT_FAILURE);
    int error = procinfo_publish(&loader.image, &loader.stack, program->name);
    if (error)
        span_verbose("the kernel does not let the program be published: %s (ps and gdb will show ld-span)",
                     strerror(-error));
}

static _Noreturn void program_start(void)
{
    struct program_start *start = &loader.start;
    const struct stack *stack = &loader.stack;
    bool bound = loader.rtld_path[0];
    *start = (struct program_start){
        .entry = bound ? loader.rtld.entry : loader.image.entry,
        .stack_pointer = stack->pointer,
        .program = {loader.image.start, loader.image.end},
        .stack = {stack->start, stack->end},
        .brk_start = loader.image.brk_start,
        .path = loader.program.path,
        .name = loader.program.name,
        .argc = stack->argc,
        .argv = stack->argv,
        .envp = stack->envp,
        .auxv = stack->auxv,
        .auxv_count = stack->auxv_count,
        .options = &loader.options,
        .interpreter_mode = span_started_as_interpreter,
    };
    if (bound)
        start->rtld = (struct start_range){loader.rtld.start, loader.rtld.end};
    span_verbose("%s at %#" PRIx64 ", entry %#" PRIx64 ", rtld %s", start->path, start->program.start, start->entry,
                 bound ? loader.rtld_path : "none");
    monitor_start(start);
}

int main(int argc, char *argv[], char *envp[])
{
    auxv_find(envp);
    self_identify();
    /* Nothing of the user's may decide anything here: no variables, no files, no network. */
    bool secure = auxv_value(AT_SECURE) != 0;
    if (secure && span_started_as_interpreter)
        handover_interpreter();
    if (secure)
        mode_run_secure(argc, argv, envp);

    const char *executed = (const char *)auxv_value(AT_EXECFN);
    layout_choose(span_started_as_interpreter && executed ? executed : "/proc/self/exe", argv, envp);
    int first = command_line_read(argc, argv, envp);
    if (span_started_as_interpreter) {
        const char *name = (const char *)auxv_value(AT_EXECFN);
        int status = program_open_executed(argc, argv, name ? name : argv[0], &loader.program, loader.why);
        if (status)
            give_up(status);
    } else {
        program_find(argc, argv, envp, first);
    }
    program_check(envp);
    int rtld_fd = rtld_open();
    if (span_started_as_interpreter) {
        /* The kernel's mapping of the program goes: it is loaded again by the path that both modes
         * share. */
        uint64_t bias = auxv_value(AT_ENTRY) - loader.image.entry_offset;
        zone_remove(loader.image.low + bias, loader.image.high + bias);
    }
    zone_clear();
    space_initialise(options_total_nodes(&loader.options) > 1);
    monitor_prepare(&loader.options);
    images_load(rtld_fd);
    stack_make(envp);
    program_start();
}
