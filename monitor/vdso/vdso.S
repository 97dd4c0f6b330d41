/*
 * The session's vDSO: what the program finds by AT_SYSINFO_EHDR, the same bytes at the same address
 * on every node. Not for telling the time: each function goes on in the monitor of the node it runs
 * on (monitor/clock.h), so the thread may come from another node between two calls and notices
 * nothing. vdso(7) lists the names.
 *
 * A node's function gets the program's arguments and what it takes to make the call instead: the
 * number in EAX and the return address in RCX, as a stub at a call site has them. Call and return
 * address lie here, so that the call can be cut short by a signal and made again from its system
 * call instruction, and a thread can move while it is in progress.
 */
#include <asm/unistd.h>

#include "monitor/thread_offsets.h"

        .text

        .macro begin name
        .globl  __vdso_\name
        .type   __vdso_\name, @function
        .weak   \name
        .type   \name, @function
        .p2align 5
__vdso_\name:
\name:
        .cfi_startproc
        .endm

        .macro finish name, number, offset
        mov     $\number, %eax
        lea     .Lafter_\name(%rip), %rcx
        jmp     *%gs:\offset
        syscall
.Lafter_\name:
        ret
        .cfi_endproc
        .size   __vdso_\name, . - __vdso_\name
        .size   \name, . - \name
        .endm

        /* Clocks of threads and processes: the kernel's vDSO would make the call unpatched. */
        begin   clock_gettime
        lea     -2(%rdi), %eax
        cmp     $1, %eax
        jbe     .Lcall
        test    %edi, %edi
        jns     .Lquick
.Lcall: mov     $__NR_clock_gettime, %eax
        lea     .Lafter_clock_gettime(%rip), %rcx
        jmp     *%gs:THREAD_ENTRY
.Lquick:
        finish  clock_gettime, __NR_clock_gettime, THREAD_CLOCK_GETTIME

        begin   gettimeofday
        finish  gettimeofday, __NR_gettimeofday, THREAD_GETTIMEOFDAY

        begin   time
        finish  time, __NR_time, THREAD_TIME

        begin   clock_getres
        finish  clock_getres, __NR_clock_getres, THREAD_CLOCK_GETRES

        begin   getcpu
        finish  getcpu, __NR_getcpu, THREAD_GETCPU

        .section .note.GNU-stack,"",@progbits
