/*
 * Closure: every object that a program needs, in the order in which the rtld would load them.
 * Not for loading them: it is read from the files alone, with libelf. For --list and --verify.
 */
#ifndef LD_SPAN_CLOSURE_H
#define LD_SPAN_CLOSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "ld-span/image.h"
#include "ld-span/search.h"

#define CLOSURE_OBJECTS_MAX 4096

struct closure_object {
    char *name;            /* as DT_NEEDED has it */
    char *path;            /* where it was found; NULL: not found */
    char *soname;          /* NULL: none */
    char *rpath, *runpath; /* NULL: none; runpath given: rpath is NULL */
    bool no_default;       /* DF_1_NODEFLIB */
    bool is_rtld;
    dev_t device;
    ino_t inode;
    uint64_t size; /* of its mapping */
    int loader;    /* index of the object that needs it, -1: the program, preloads */
    char **needed;
    size_t needed_count;
};

/* objects[0] is the program. */
struct closure {
    struct closure_object *objects;
    size_t count;
    const char *rtld; /* as in the request */
};

struct closure_request {
    const char *program; /* path */
    const struct image *image;
    const char *rtld;    /* chosen one, empty: none */
    const char *preload; /* list, NULL: none */
    const struct search_options *search;
};

/* Fills `closure`, which closure_free gives back. 0 or a negative errno with a line in `why`;
 * missing objects are none. */
int closure_compute(const struct closure_request *request, struct closure *closure, char why[WIRE_MESSAGE_BYTES]);
void closure_free(struct closure *closure);

/* Prints it as ldd does. `vdso`: address of the vDSO, 0 none. */
void closure_print(const struct closure *closure, uint64_t vdso, FILE *out);

#endif
