/*
 * From the program to the answers of monitor/clock_quick.c and back. Not for system calls:
 * syscall/entry.S has those.
 *
 * The answer is worked out on the monitor's stack, and still with the program's FS base, for it needs
 * no TLS: THREAD_IN_MONITOR says so. A signal finds the thread "in the monitor", marks it pending,
 * and goes; before the program gets its answer we look, and make the system call instead, which is
 * where pending things are seen to.
 */
#include "monitor/thread_offsets.h"

#define HIDDEN(name) .globl name; .hidden name; name:

        .text
        .macro entry name, answer
        .p2align 4
        .type   \name, @function
HIDDEN(\name)
        lea     \answer(%rip), %r11
        jmp     answer
        .endm

        entry   clock_entry_gettime, clock_answer_gettime
        entry   clock_entry_timeofday, clock_answer_timeofday
        entry   clock_entry_time, clock_answer_time
        entry   clock_entry_getcpu, clock_answer_getcpu

        .p2align 4
        .type   clock_entry_call, @function
HIDDEN(clock_entry_call)
        jmp     *%gs:THREAD_ENTRY

answer:
        movl    $THREAD_ON_STACK, %gs:THREAD_IN_MONITOR
        mov     %rsp, %gs:THREAD_APP_RSP
        mov     %gs:THREAD_MONITOR_RSP, %rsp
        push    %rdi
        push    %rsi
        push    %rax
        push    %rcx
        call    *%r11
        mov     %rax, %r8
        pop     %rcx
        pop     %r9
        pop     %rsi
        pop     %rdi
        mov     %gs:THREAD_APP_RSP, %rsp
        movl    $0, %gs:THREAD_IN_MONITOR
        test    %rdx, %rdx
        jnz     instead
HIDDEN(clock_check)
        cmpl    $0, %gs:THREAD_PENDING
        jne     instead
        mov     %r8, %rax
HIDDEN(clock_leave)
        ret
instead:
        mov     %r9, %rax
        jmp     *%gs:THREAD_ENTRY

        .section .note.GNU-stack,"",@progbits
