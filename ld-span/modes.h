/*
 * Modes: what ld-span.so does instead of running a program over nodes. Not for the run itself.
 */
#ifndef LD_SPAN_MODES_H
#define LD_SPAN_MODES_H

#include <stdint.h>

#include "ld-span/image.h"
#include "ld-span/options.h"

/* --help, --version, --list-diagnostics, --list-tunables: do not return. */
void mode_run_early(const struct span_options *options, const char *self, char *envp[]);
/* --list, --verify, for a program that has been checked: do not return. */
void mode_run_look(const struct span_options *options, const char *path, const struct image *image, const char *rtld,
                   uint64_t vdso);
/* AT_SECURE and a command line: executes the program natively, or refuses. */
_Noreturn void mode_run_secure(int argc, char *argv[], char *envp[]);

#endif
