/*
 * Before libc: runs on the kernel's stack with nothing relocated, no TLS, no vector registers.
 * Not for anything that can wait until main.
 *
 * Two things cannot wait. Started as the interpreter of a program, the auxiliary vector describes that program, and a
 * static PIE that took AT_PHDR for its own would set up the wrong TLS (glibc, csu/libc-tls.c); libc gets a copy of the
 * stack that describes ld-span. And the break must not grow, since the kernel has put it into the span zone, from which
 * the program will be laid out: a page behind it makes every sbrk fail, and libc falls back to mmap.
 */
#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ld-span/start.h"

bool span_started_as_interpreter;
char **span_original_stack;

uint64_t span_prestart(uint64_t *stack);

extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));
extern void span_start(void) __attribute__((visibility("hidden")));

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static void break_block(void)
{
    long now = call6(SYS_brk, 0, 0, 0, 0, 0, 0);
    long page = (now + 4095) & ~4095L;
    call6(SYS_mmap, page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static uint64_t own_value(uint64_t type, uint64_t value)
{
    const Elf64_Ehdr *header = &__ehdr_start;
    switch (type) {
    case AT_PHDR:
        return (uint64_t)header + header->e_phoff;
    case AT_PHNUM:
        return header->e_phnum;
    case AT_PHENT:
        return header->e_phentsize;
    case AT_ENTRY:
        return (uint64_t)span_start;
    case AT_BASE:
        return 0;
    default:
        return value;
    }
}

uint64_t span_prestart(uint64_t *stack)
{
    span_original_stack = (char **)stack;
    break_block();
    uint64_t *word = stack + 1 + stack[0] + 1; /* argc, argv, NULL */
    while (*word)
        word++;
    Elf64_auxv_t *auxv = (Elf64_auxv_t *)(word + 1), *end = auxv;
    bool foreign = true;
    for (; end->a_type != AT_NULL; end++)
        if (end->a_type == AT_PHDR && end->a_un.a_val == own_value(AT_PHDR, 0))
            foreign = false;
    span_started_as_interpreter = foreign;
    if (!foreign)
        return (uint64_t)stack;
    uint64_t words = (uint64_t)((uint64_t *)(end + 1) - stack);
    uint64_t *copy = (uint64_t *)(((uint64_t)(stack - words) - 256) & ~15ul);
    uint64_t before_auxv = (uint64_t)((uint64_t *)auxv - stack);
    for (uint64_t i = 0; i < words; i++) {
        bool value = i > before_auxv && ((i - before_auxv) & 1);
        copy[i] = value ? own_value(stack[i - 1], stack[i]) : stack[i];
        __asm__ volatile("" : : : "memory"); /* not to become a call of memcpy */
    }
    return (uint64_t)copy;
}
