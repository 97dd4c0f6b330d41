/*
 * Start: what the loader hands to the monitor, and the two calls it makes for that.
 * Not for loading (image.h, stack.h) nor for what the monitor does with it.
 */
#ifndef LD_SPAN_START_H
#define LD_SPAN_START_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span_options;

struct start_range {
    uint64_t start, end; /* both 0: there is none */
};

/* Everything here lives as long as the process. */
struct program_start {
    uint64_t entry;                          /* first instruction: the rtld's, or the program's own when it has none */
    uint64_t stack_pointer;                  /* points to argc, 16-byte aligned */
    struct start_range program, rtld, stack; /* mapped ranges in the span zone */
    uint64_t brk_start;                      /* page aligned; space_brk_start has been called with it */
    const char *path;                        /* the program, absolute, links resolved: what /proc/self/exe is to say */
    const char *name;                        /* as the user gave it (AT_EXECFN), before links were resolved */
    int argc;
    char **argv, **envp; /* in the new stack, as are the auxv entries */
    Elf64_auxv_t *auxv;
    size_t auxv_count; /* AT_NULL included */
    const struct span_options *options;
    bool interpreter_mode; /* started through PT_INTERP: /proc/PID/exe is right by itself */
};

/*
 * Set by the entry stub before _start. `span_original_stack` points to argc on the stack that the
 * kernel made; the stack that libc saw is a copy whose auxv describes ld-span itself.
 */
extern bool span_started_as_interpreter;
extern char **span_original_stack;

/* Before the program is loaded: reaches the peers. May end the process with status 125 and a line
 * for the user. */
void monitor_prepare(const struct span_options *options);
/* The session's vDSO in the span zone, 0 (also when not linked in): there is none. Once, when the
 * images are in place. */
uint64_t monitor_vdso(void) __attribute__((weak));
/* Runs the program. */
_Noreturn void monitor_start(const struct program_start *start);

#endif
