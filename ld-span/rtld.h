/*
 * Rtld: which dynamic linker of which libc binds a program.
 * Not for loading it (image.h) and not for what it does.
 */
#ifndef LD_SPAN_RTLD_H
#define LD_SPAN_RTLD_H

#include <stdbool.h>
#include <stdint.h>

#include "ld-span/image.h"

#define RTLD_GLIBC "/lib64/ld-linux-x86-64.so.2"
#define RTLD_MUSL  "/lib/ld-musl-x86_64.so.1"

/*
 * The note that scripts/span-patch puts behind the interpreter's name, at the next multiple of 4 in
 * the file: an ELF note with the name "ld-span", RTLD_NOTE_TYPE, and a description of
 * RTLD_NOTE_WORDS 64-bit words, of no interest here (they serve --undo), followed by the original
 * interpreter's path, terminated and padded with zeros.
 */
#define RTLD_NOTE_TYPE  1u
#define RTLD_NOTE_WORDS 8u

/*
 * Writes the path of the rtld into `path`; an empty string when the program needs none.
 * `self_device` and `self_inode` identify ld-span.so. 0, or a negative errno with a line in `why`:
 * -ELIBACC when no rtld can be told.
 */
int rtld_choose(int fd, const char *program, const struct image *image, uint64_t self_device, uint64_t self_inode,
                char path[PATH_MAX], char why[WIRE_MESSAGE_BYTES]);

/* Is `path` one of musl's? It has other options and search rules. */
bool rtld_is_musl(const char *path);

#endif
