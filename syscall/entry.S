/*
 * The crossing, in assembly: entry of calls, direct calls, the exit path, the interruptible gadget, signal entry, and
 * copies from and to the program's memory that survive a fault.
 *
 * Every label that a signal handler must know is exported; monitor/signal.c moves an interrupted instruction pointer out
 * of the windows in which "nothing is pending" has been tested but not yet acted on.
 */
#include "monitor/thread_offsets.h"
#include "syscall/entry.h"

#define HIDDEN(name) .globl name; .hidden name; name:

#define SYS_arch_prctl 158
#define ARCH_SET_FS    0x1002

/* FS base := \value. Clobbers RAX, and without FSGSBASE RCX, RDX, RSI, RDI, R11. */
.macro set_fs value
        cmpl    $0, %gs:THREAD_FSGSBASE
        mov     \value, %rax
        je      7f
        wrfsbase %rax
        jmp     8f
7:      mov     %rax, %rsi
        mov     $ARCH_SET_FS, %edi
        mov     $SYS_arch_prctl, %eax
        syscall
8:
.endm

/* RBX := area and RDX:RAX := features of the program's vector state. */
.macro vector_area
        mov     %gs:THREAD_XSAVE, %rbx
        mov     %gs:THREAD_XFEATURES, %rax
        mov     %rax, %rdx
        shr     $32, %rdx
.endm

/* What a crossing keeps of the program besides its general registers. */
.macro program_save
        vector_area
        xsavec64 (%rbx)
        cmpl    $0, %gs:THREAD_FSGSBASE
        je      9f
        rdfsbase %rax
        mov     %rax, %gs:THREAD_APP_FS
9:
.endm

/* To the program with the registers at RSP. */
.macro general_restore
        movl    $0, %gs:THREAD_IN_MONITOR
        mov     REGISTERS_RIP(%rsp), %rcx
        mov     %rcx, %gs:THREAD_RETURN
        pushq   REGISTERS_EFL(%rsp)
        popfq
        mov     REGISTERS_R8(%rsp), %r8
        mov     REGISTERS_R9(%rsp), %r9
        mov     REGISTERS_R10(%rsp), %r10
        mov     REGISTERS_R12(%rsp), %r12
        mov     REGISTERS_R13(%rsp), %r13
        mov     REGISTERS_R14(%rsp), %r14
        mov     REGISTERS_R15(%rsp), %r15
        mov     REGISTERS_RDI(%rsp), %rdi
        mov     REGISTERS_RSI(%rsp), %rsi
        mov     REGISTERS_RBP(%rsp), %rbp
        mov     REGISTERS_RBX(%rsp), %rbx
        mov     REGISTERS_RDX(%rsp), %rdx
        mov     REGISTERS_RAX(%rsp), %rax
        mov     REGISTERS_RSP(%rsp), %rsp
        jmp     *%gs:THREAD_RETURN
.endm

        .text
        .p2align 6
HIDDEN(entry_text_start)

/*
 * RAX number, RCX return address; R11 is free. The flags are the program's up to direct_call, as after the kernel's
 * sysret: nothing on the way of a direct call sets them. The class table has an entry for each 16-bit number, so that the
 * number needs no comparison; what is beyond is the kernel's to refuse.
 */
        .type syscall_entry, @function
HIDDEN(syscall_entry)
        mov     %rcx, %gs:THREAD_RETURN
        mov     %rax, %gs:THREAD_NUMBER
        mov     %gs:THREAD_CLASSES, %rcx
        movzwl  %ax, %r11d
        movzbl  (%rcx,%r11), %ecx
        jrcxz   entry_direct
        jmp     other
HIDDEN(entry_direct)
        mov     %gs:THREAD_CALLS, %r11
        lea     1(%r11), %r11
        mov     %r11, %gs:THREAD_CALLS
HIDDEN(direct_check)
        mov     %gs:THREAD_PENDING, %ecx
        jrcxz   direct_call
        jmp     direct_abort
        /* RCX is 0 here; once the kernel has been entered it holds direct_after. */
HIDDEN(direct_call)
        syscall
HIDDEN(direct_after)
        jmp     *%gs:THREAD_RETURN

/* A class that looks at an argument: the flags are put aside meanwhile. */
other:
        mov     %ecx, %r11d
        lahf
        seto    %al
        mov     %eax, %gs:THREAD_FLAGS
        cmp     $CLASS_SLOW, %r11d
        je      other_slow
        cmp     $CLASS_FD, %r11d
        je      class_fd
        cmp     $CLASS_PATH0, %r11d
        je      class_path0
        cmp     $CLASS_FUTEX, %r11d
        je      class_futex
        cmp     $CLASS_READ, %r11d
        je      class_read
        cmp     $CLASS_ARGUMENT3, %r11d
        je      class_argument3
        cmp     $CLASS_ARGUMENT4, %r11d
        je      class_argument4
        cmp     $CLASS_ARGUMENT5, %r11d
        je      class_argument5
        cmp     $CLASS_PATH1, %r11d
        jne     other_slow
HIDDEN(entry_probe0_path1)
        movzbl  (%rsi), %r11d           /* faults: the handler goes on at other_direct, the kernel says EFAULT */
        test    %r11d, %r11d
        jz      class_fd                /* the descriptor itself */
        cmp     $'/', %r11d
        jne     other_direct
HIDDEN(entry_probe1_path1)
        movzbl  1(%rsi), %r11d
        jmp     first_letter
class_path0:
HIDDEN(entry_probe0)
        movzbl  (%rdi), %r11d
        cmp     $'/', %r11d
        jne     other_direct
HIDDEN(entry_probe1)
        movzbl  1(%rdi), %r11d
first_letter:
        cmp     $'p', %r11d
        je      other_slow
        cmp     $'s', %r11d
        je      other_slow
        cmp     $'/', %r11d
        je      other_slow
        cmp     $'.', %r11d
        je      other_slow
        jmp     other_direct
class_futex:
        mov     %esi, %r11d
        and     $0x7f, %r11d
        jnz     1f                      /* a wait for a relative time has to be able to go on */
        test    %r10, %r10
        jnz     other_slow
1:      cmp     $5, %r11d               /* below: wait, wake, requeue */
        jb      other_direct
        cmp     $9, %r11d               /* wait and wake with a bit set */
        je      other_direct
        cmp     $10, %r11d
        je      other_direct
        jmp     other_slow
class_argument3:
        test    %r10, %r10
        jz      other_direct
        jmp     other_slow
class_argument4:
        test    %r8, %r8
        jz      other_direct
        jmp     other_slow
class_argument5:
        test    %r9, %r9
        jz      other_direct
        jmp     other_slow
class_read:
        mov     %esi, %r11d
        or      %edx, %r11d
        test    $511, %r11d
        jz      other_slow
        jmp     other_direct
class_fd:
        cmp     %gs:THREAD_FD_FLOOR, %edi
        jae     other_slow
HIDDEN(other_direct)
        mov     %gs:THREAD_FLAGS, %eax
        add     $127, %al               /* overflow again where there was one */
        sahf
        mov     %gs:THREAD_NUMBER, %rax
        jmp     entry_direct
other_slow:
        mov     %gs:THREAD_FLAGS, %eax
        add     $127, %al
        sahf
        mov     %gs:THREAD_NUMBER, %rax
HIDDEN(direct_abort)
        mov     %gs:THREAD_RETURN, %rcx

slow:
        mov     %rsp, %gs:THREAD_APP_RSP
        mov     %gs:THREAD_MONITOR_RSP, %rsp
        lea     -REGISTERS_BYTES(%rsp), %rsp
        mov     %r8,  REGISTERS_R8(%rsp)
        mov     %r9,  REGISTERS_R9(%rsp)
        mov     %r10, REGISTERS_R10(%rsp)
        mov     %r12, REGISTERS_R12(%rsp)
        mov     %r13, REGISTERS_R13(%rsp)
        mov     %r14, REGISTERS_R14(%rsp)
        mov     %r15, REGISTERS_R15(%rsp)
        mov     %rdi, REGISTERS_RDI(%rsp)
        mov     %rsi, REGISTERS_RSI(%rsp)
        mov     %rbp, REGISTERS_RBP(%rsp)
        mov     %rbx, REGISTERS_RBX(%rsp)
        mov     %rdx, REGISTERS_RDX(%rsp)
        mov     %rax, REGISTERS_RAX(%rsp)
        mov     %rcx, REGISTERS_RCX(%rsp)
        mov     %rcx, REGISTERS_RIP(%rsp)
        mov     %gs:THREAD_APP_RSP, %r11
        mov     %r11, REGISTERS_RSP(%rsp)
        pushfq
        popq    %r11
        mov     %r11, REGISTERS_EFL(%rsp)
        mov     %r11, REGISTERS_R11(%rsp)
        cld
        cmpq    $0, %gs:THREAD_QUICK
        jne     quick
full:   program_save
HIDDEN(entry_switch)
        movl    $1, %gs:THREAD_IN_MONITOR
        set_fs  %gs:THREAD_MONITOR_FS
HIDDEN(entry_switch_end)
        mov     %rsp, %rdi
        xor     %ebp, %ebp
        call    call_slow
        mov     %rsp, %rdi

/* RDI: struct registers on the monitor stack. Idempotent, so that a signal in here can start it again. */
        .type syscall_leave, @function
HIDDEN(syscall_leave)
        mov     %rdi, %rsp
        mov     %rdi, %gs:THREAD_LEAVING
HIDDEN(leave_start)
        mov     %gs:THREAD_LEAVING, %rsp
        cmpl    $0, %gs:THREAD_PENDING
        jne     leave_pending
        vector_area
        xrstor64 (%rbx)
        set_fs  %gs:THREAD_APP_FS
        general_restore
leave_pending:
        movl    $1, %gs:THREAD_IN_MONITOR
        set_fs  %gs:THREAD_MONITOR_FS
HIDDEN(leave_end)
        mov     %rsp, %rdi
        call    call_pending
        mov     %gs:THREAD_LEAVING, %rdi
        jmp     syscall_leave

/*
 * Tried first where there is one: on the monitor's stack, with the program's FS base and vector registers. It leaves by a
 * path of its own, which a signal begins again as it does the other; only when something is pending the vector registers
 * are saved after all.
 */
quick:
        movl    $THREAD_ON_STACK, %gs:THREAD_IN_MONITOR
        mov     %rsp, %rdi
        xor     %ebp, %ebp
        call    *%gs:THREAD_QUICK
        test    %rax, %rax
        jnz     full
        mov     %rsp, %gs:THREAD_LEAVING
HIDDEN(quick_start)
        mov     %gs:THREAD_LEAVING, %rsp
        cmpl    $0, %gs:THREAD_PENDING
        jne     quick_pending
        general_restore
HIDDEN(quick_end)
quick_pending:
        program_save
        jmp     leave_pending
        .size syscall_entry, . - syscall_entry

/* long syscall_interruptible(long number, const uint64_t arguments[6]) */
        .type syscall_interruptible, @function
HIDDEN(syscall_interruptible)
        mov     %rdi, %rax
        mov     %rsi, %r11
        mov     0(%r11), %rdi
        mov     8(%r11), %rsi
        mov     16(%r11), %rdx
        mov     24(%r11), %r10
        mov     32(%r11), %r8
        mov     40(%r11), %r9
        xor     %ecx, %ecx
HIDDEN(gadget_check)
        cmpl    $0, %gs:THREAD_PENDING
        jne     gadget_abort
HIDDEN(gadget_call)
        syscall
HIDDEN(gadget_after)
        ret
HIDDEN(gadget_abort)
        mov     $-513, %rax
        ret
        .size syscall_interruptible, . - syscall_interruptible

/* context_enter(frame, fs_base) */
        .type context_enter, @function
HIDDEN(context_enter)
        mov     %rdi, %rsp
        set_fs  %rsi
        movl    $0, %gs:THREAD_IN_MONITOR
        mov     $15, %eax
        syscall
        ud2

        .type stack_run, @function
HIDDEN(stack_run)
        mov     %rdi, %rsp
        and     $-16, %rsp
        xor     %ebp, %ebp
        mov     %rdx, %rdi
        call    *%rsi
        ud2

/* xstate_convert(compact, standard, features) */
        .type xstate_convert, @function
HIDDEN(xstate_convert)
        mov     %rdx, %rax
        shr     $32, %rdx
        xrstor64 (%rdi)
        xsave64 (%rsi)
        ret

/* size_t user_copy(to, from, size) */
        .type user_copy, @function
HIDDEN(user_copy)
        mov     %rdx, %rcx
HIDDEN(user_copy_start)
        rep movsb
HIDDEN(user_copy_end)
HIDDEN(user_copy_fault)
        mov     %rcx, %rax
        ret

/* long user_compare_exchange(word, expected, desired, seen) */
        .type user_compare_exchange, @function
HIDDEN(user_compare_exchange)
        mov     %esi, %eax
HIDDEN(user_exchange_start)
        lock cmpxchg %edx, (%rdi)
HIDDEN(user_exchange_end)
        mov     %eax, (%rcx)
        xor     %eax, %eax
        ret
HIDDEN(user_exchange_fault)
        mov     $-14, %rax
        ret

/*
 * signal_entry(signal, info, context), on the alternate stack. A dispatched call needs neither TLS nor the FS base; all
 * else runs in the monitor domain, which is left again unless it was there that the signal hit. THREAD_IN_MONITOR tells;
 * where the flag and the FS base may differ, in the two switches, the switch is begun again.
 */
#define CONTEXT_RIP 168
        .type signal_entry, @function
HIDDEN(signal_entry)
        push    %rbx
        mov     %gs:THREAD_IN_MONITOR, %ebx
        mov     CONTEXT_RIP(%rdx), %rax
        lea     entry_switch(%rip), %rcx
        cmp     %rcx, %rax
        jb      1f
        lea     entry_switch_end(%rip), %r8
        cmp     %r8, %rax
        jb      0f
        lea     quick_start(%rip), %rcx
        cmp     %rcx, %rax
        jb      6f
        lea     quick_end(%rip), %r8
        cmp     %r8, %rax
        jb      0f
6:      lea     leave_start(%rip), %rcx
        cmp     %rcx, %rax
        jb      1f
        lea     leave_end(%rip), %r8
        cmp     %r8, %rax
        jae     1f
0:      mov     %rcx, CONTEXT_RIP(%rdx)
        xor     %ebx, %ebx
        jmp     2f
1:      cmp     $31, %edi
        jne     2f
        push    %rdi
        push    %rsi
        push    %rdx
        sub     $8, %rsp
        xor     %ecx, %ecx
        test    %ebx, %ebx
        setne   %cl
        call    signal_dispatch
        add     $8, %rsp
        pop     %rdx
        pop     %rsi
        pop     %rdi
        test    %eax, %eax
        jnz     5f
2:      cmp     $THREAD_IN_DOMAIN, %ebx
        je      4f
        cmpl    $0, %gs:THREAD_FSGSBASE
        je      3f
        cmpl    $THREAD_IN_DOMAIN, %gs:THREAD_IN_MONITOR
        je      3f
        rdfsbase %rax
        mov     %rax, %gs:THREAD_APP_FS
3:      movl    $1, %gs:THREAD_IN_MONITOR
        push    %rdi
        push    %rsi
        push    %rdx
        sub     $8, %rsp
        set_fs  %gs:THREAD_MONITOR_FS
        add     $8, %rsp
        pop     %rdx
        pop     %rsi
        pop     %rdi
4:      xor     %ecx, %ecx
        test    %ebx, %ebx
        setne   %cl
        call    signal_handle
        cmp     $THREAD_IN_DOMAIN, %ebx
        je      5f
        set_fs  %gs:THREAD_APP_FS
        mov     %ebx, %gs:THREAD_IN_MONITOR
5:      pop     %rbx
        ret
/* monitor_enter(argument, function): from a changed signal frame, with the program's FS base; never returns */
        .type monitor_enter, @function
HIDDEN(monitor_enter)
        cld
        mov     %rdi, %rbx
        mov     %rsi, %r12
        movl    $1, %gs:THREAD_IN_MONITOR
        set_fs  %gs:THREAD_MONITOR_FS
        mov     %rbx, %rdi
        mov     %r12, %rsi
        xor     %ebp, %ebp
        call    *%rsi
        ud2
HIDDEN(signal_restorer)
        mov     $15, %eax
        syscall
        ud2
HIDDEN(entry_text_end)
        .section .note.GNU-stack,"",@progbits
