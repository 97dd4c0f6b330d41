/*
 * Stack: the initial stack of the program in the span zone, as the kernel would have built it.
 * Not for thread stacks, which the program maps itself.
 *
 * Layout: System V ABI, AMD64 supplement, 3.4.1, and Linux fs/binfmt_elf.c, create_elf_tables.
 */
#ifndef LD_SPAN_STACK_H
#define LD_SPAN_STACK_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

/* The least also when RLIMIT_STACK is less, for that may be raised later; the most when it is more.
 */
#define STACK_BYTES_ALWAYS (64ul << 20)
#define STACK_BYTES_MAX    (16ul << 30)
#define STACK_GUARD_BYTES  (64ul << 10)

struct stack_request {
    char **argv, **envp;                           /* NULL-terminated */
    const Elf64_auxv_t *auxv;                      /* the kernel's, up to AT_NULL */
    const char *name;                              /* AT_EXECFN */
    uint64_t headers_address, header_count, entry; /* of the program */
    uint64_t base;                                 /* AT_BASE: the rtld's load address, 0 without one */
    uint64_t vdso;                                 /* AT_SYSINFO_EHDR, 0: the entry is left out */
    bool executable;
};

struct stack {
    uint64_t start, end; /* mapped, without the guard */
    uint64_t pointer;    /* to argc */
    int argc;
    char **argv, **envp;
    Elf64_auxv_t *auxv;
    size_t auxv_count; /* AT_NULL included */
    uint64_t argument_start, argument_end, environment_start, environment_end;
};

/* Maps the stack with a guard below it and fills it. 0, or a negative errno with a line in `why`.
 */
int stack_build(const struct stack_request *request, struct stack *stack, char why[WIRE_MESSAGE_BYTES]);

#endif
