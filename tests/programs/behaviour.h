/*
 * The harness of the programs here: each shows one behaviour, prints something that is the same on
 * every run, exits 0. Natively, on one node and on several the output has to be equal. Status 77:
 * this machine cannot run it.
 */
#ifndef TESTS_PROGRAMS_BEHAVIOUR_H
#define TESTS_PROGRAMS_BEHAVIOUR_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition,      \
                    errno);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* pthread calls return the error. */
#define CHECK0(call) CHECK((errno = (call)) == 0)

/* Often enough that a call site that is met again and again has been rewritten on the way. */
#define OFTEN 40

/* A call by an instruction of this function, not of libc: result or negative errno. */
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#endif
