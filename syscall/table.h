/*
 * The system call table: one row for every x86-64 call of the kernel headers, from syscall/table.def.
 * Not for handlers: a row names where a call is carried out and what its arguments point to.
 */
#ifndef SYSCALL_TABLE_H
#define SYSCALL_TABLE_H

#include <stdint.h>

/* Where a call is carried out, seen from a thread on a peer; at home, home and here are the same. */
enum call_place {
    CALL_HERE,     /* by the kernel of the node where the thread is active; touches nothing shared */
    CALL_HOME,     /* at home, by the thread's shadow, unchanged */
    CALL_EMULATED, /* by a handler of ours at home (reached through the shadow from a peer) */
    CALL_THREAD,   /* works on the thread itself (its registers, its stack, the process): the thread comes home first */
    CALL_REFUSED,  /* answered with the row's errno */
    CALL_UNKNOWN,  /* a number without a row: ENOSYS, as the kernel answers */
};

/* What an argument is: enough to copy it, to print it and to know which memory the kernel touches. */
enum call_argument {
    ARG_NONE,
    ARG_INT,
    ARG_UINT,
    ARG_LONG,
    ARG_SIZE,
    ARG_FLAGS,
    ARG_MODE,
    ARG_OFFSET,
    ARG_FD,
    ARG_DIRFD,
    ARG_PID,
    ARG_SIGNAL,
    ARG_ADDRESS, /* an address as a number: mmap, brk */
    ARG_PATH,
    ARG_STRING,
    ARG_STRING_VECTOR,
    ARG_IN,  /* buffer read by the kernel: bytes from `size` */
    ARG_OUT, /* buffer written by the kernel: bytes from `size`, or the result when that is smaller */
    ARG_INOUT,
    ARG_IOVEC_IN,
    ARG_IOVEC_OUT, /* vector of count from `size` */
    ARG_MESSAGE_IN,
    ARG_MESSAGE_OUT, /* struct msghdr */
    ARG_FUTEX,
    ARG_OPAQUE, /* layout depends on another argument (ioctl, fcntl, prctl, bpf) */
};

/* Size of what a pointer argument points to: a constant number of bytes, or an argument that gives bytes or elements.
 */
struct call_size {
    int8_t argument; /* 0..5: that argument counts elements of `bytes` each; -1: constant; -2: *(socklen_t *)argument
                        `bytes` */
    uint16_t bytes;
};

struct call_row {
    const char *name;
    uint8_t place;        /* enum call_place */
    uint8_t error;        /* positive errno of CALL_REFUSED */
    uint8_t count;        /* of arguments */
    uint8_t arguments[6]; /* enum call_argument */
    struct call_size sizes[6];
    const char *why; /* one line for docs/system-calls.md; never NULL */
};

#define CALL_COUNT                                                                                                     \
    512 /* rows run from 0 to the last, unknown ones in between have place CALL_UNKNOWN and name NULL                  \
         */
extern const struct call_row call_table[CALL_COUNT];

#endif
