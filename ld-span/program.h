/*
 * Program: which file a command names, through PATH and `#!` lines.
 * Not for what is in the file when it is ELF (image.h).
 */
#ifndef LD_SPAN_PROGRAM_H
#define LD_SPAN_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/wire.h"

#define PROGRAM_SCRIPTS_MAX 4 /* scripts interpreted by scripts, as the kernel bounds it */

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

struct program {
    int fd;              /* open for reading, close-on-exec */
    char name[PATH_MAX]; /* AT_EXECFN: what execve would have been given */
    char path[PATH_MAX]; /* the file to load, absolute, links resolved; of a script: its interpreter
                          */
    char **argv;         /* NULL-terminated; allocated when scripts have changed it */
    int argc;
    bool native; /* only the kernel can run it right: set-user-ID, capabilities, not readable */
};

/*
 * Finds and opens the program that argv[0] names, following `#!` lines. 0, or the exit status (126,
 * 127 or 125) with a line in `why`. `argv0` replaces argv[0] afterwards when not NULL. With `look`
 * the file is only to be looked at: it need not be executable, and `#!` lines are not followed.
 */
int program_open(int argc, char *argv[], const char *argv0, const char *executed, bool look, struct program *program,
                 char why[WIRE_MESSAGE_BYTES]);

/* PT_INTERP mode: the program is the one that the kernel executed, under the name given
 * (AT_EXECFN). */
int program_open_executed(int argc, char *argv[], const char *name, struct program *program,
                          char why[WIRE_MESSAGE_BYTES]);

#endif
