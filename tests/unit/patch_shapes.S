/*
 * Call sites of every shape that syscall/patch.c has to judge, for tests/unit/test_patch.c, and the fake monitor entry.
 * Each function is `long f(long a, long b, long c)` and makes one call; its site is labelled f_site.
 */
        .text

/* The monitor's side: counts in %gs:56, makes the call, changes nothing that the kernel would not. */
        .globl fake_entry
fake_entry:
        mov     %rcx, %gs:48
        mov     %gs:56, %rcx
        lea     1(%rcx), %rcx
        mov     %rcx, %gs:56
        syscall
        jmp     *%gs:48

        .macro  shape name
        .p2align 4
        .globl  \name, \name\()_site
        .type   \name, @function
\name:
        .cfi_startproc
        .endm
        .macro  done name
        .cfi_endproc
        .size   \name, . - \name
        .endm

shape shape_free
        mov     $39, %eax
shape_free_site:
        syscall
        ret
done shape_free

shape shape_free_ahead
        mov     $39, %eax
        mov     %rdi, %r8
        xor     %edx, %edx
shape_free_ahead_site:
        syscall
        neg     %rax
        neg     %rax
        ret
done shape_free_ahead

shape shape_free_relative
        push    $39
        pop     %rax
        mov     shape_number(%rip), %rdi
        cmpl    $77, shape_number(%rip)         /* an immediate behind the displacement */
        jne     1f
        .nops   2
shape_free_relative_site:
        syscall
        ret
1:      mov     $-1, %rax
        ret
done shape_free_relative

shape shape_free_branch                        /* the window is a conditional jump of six bytes */
        push    $39
        pop     %rax
        test    %rdi, %rdi
        {disp32} js 1f
shape_free_branch_site:
        syscall
        ret
1:      mov     $-7, %rax
        ret
done shape_free_branch

shape shape_punned
        push    $39
        pop     %rax
shape_punned_site:
        syscall
        cmp     $-4095, %rax
        jae     1f
        ret
1:      mov     $-1, %rax
        ret
done shape_punned

shape shape_punned_relative
        push    $39
        pop     %rax
shape_punned_relative_site:
        syscall
        add     shape_number(%rip), %rax
        sub     shape_number(%rip), %rax
        ret
done shape_punned_relative

shape shape_punned_return
        push    $39
        pop     %rax
shape_punned_return_site:
        syscall
        ret
        .p2align 4
done shape_punned_return

shape shape_punned_jump
        push    $39
        pop     %rax
shape_punned_jump_site:
        syscall
        jmp     1f
        nop
        nop
1:      ret
done shape_punned_jump

shape shape_punned_table                       /* an indirect jump somewhere */
        test    %rdi, %rdi
        js      2f
        push    $39
        pop     %rax
shape_punned_table_site:
        syscall
        cmp     $-4095, %rax
        ret
2:      jmp     *%rsi
done shape_punned_table

shape shape_quiet
        push    $39
        pop     %rax
shape_quiet_site:
        syscall
        test    %eax, %eax
        js      1f
        ret
1:      mov     $-1, %rax
        ret
done shape_quiet

shape shape_quiet_cold                         /* the part that was split off comes back to the second test */
        test    %rdi, %rdi
        js      shape_quiet_cold_part
        push    $39
        pop     %rax
shape_quiet_cold_site:
        syscall
        test    %eax, %eax
shape_quiet_cold_inside:
        test    %eax, %eax
        js      1f
1:      ret
done shape_quiet_cold

        .p2align 4
        .cfi_startproc
shape_quiet_cold_part:
        xor     %eax, %eax
        {disp32} jmp shape_quiet_cold_inside
        .cfi_endproc

shape shape_quiet_table
        test    %rdi, %rdi
        js      2f
        push    $39
        pop     %rax
shape_quiet_table_site:
        syscall
        test    %eax, %eax
        js      1f
1:      ret
2:      jmp     *%rsi
done shape_quiet_table

shape shape_bypassed                           /* the second round comes to the syscall past the window */
        mov     $2, %edx
        mov     $39, %eax
1:
shape_bypassed_site:
        syscall
        dec     %edx
        jz      2f
        push    $39
        pop     %rax
        jmp     1b
2:      ret
done shape_bypassed

shape shape_target_behind                      /* somebody jumps to the instruction behind the call */
        push    $39
        pop     %rax
        test    %rdi, %rdi
        js      1f
shape_target_behind_site:
        syscall
1:      cmp     $-4095, %rax
        ret
done shape_target_behind

shape shape_target_inside                      /* somebody jumps over a prefix of the instruction in front */
        push    $39
        pop     %rax
        test    %rdi, %rdi
        jns     1f
        lock
1:      addl    $0, -16(%rsp)
shape_target_inside_site:
        syscall
        call    shape_nothing
        ret
done shape_target_inside

shape shape_call_behind
        push    $39
        pop     %rax
shape_call_behind_site:
        syscall
        call    shape_nothing
        ret
done shape_call_behind

shape shape_red_zone
        mov     %rdi, -8(%rsp)
        mov     %rsi, -64(%rsp)
        mov     %rdx, -128(%rsp)
        mov     $39, %eax
shape_red_zone_site:
        syscall
        mov     -8(%rsp), %rax
        xor     -64(%rsp), %rax
        xor     -128(%rsp), %rax
        ret
done shape_red_zone

shape shape_signal_return
        mov     $15, %rax
shape_signal_return_site:
        syscall
        ud2
done shape_signal_return

shape shape_two
        mov     $39, %eax
shape_two_site:
        syscall
        .globl shape_two_second
        mov     $110, %eax
shape_two_second:
        syscall
        ret
done shape_two

shape shape_undecodable
        jmp     1f
        .byte   0x06, 0x06
1:      mov     $39, %eax
shape_undecodable_site:
        syscall
        ret
done shape_undecodable

shape shape_hidden                             /* the bytes of a syscall inside an instruction */
        .byte   0xb8
shape_hidden_site:
        .byte   0x0f, 0x05, 0, 0
        ret
done shape_hidden

/* Windows that cross a page: the jump's bytes on both sides, then the syscall's own. */
        .p2align 12
        .skip   4096 - 3
        .globl shape_page_free, shape_page_free_site
shape_page_free:
        .cfi_startproc
        mov     $39, %eax
shape_page_free_site:
        syscall
        ret
        .cfi_endproc
        .p2align 12
        .skip   4096 - 4
        .globl shape_page_punned, shape_page_punned_site
shape_page_punned:
        .cfi_startproc
        push    $39
        pop     %rax
shape_page_punned_site:
        syscall
        cmp     $-4095, %rax
        ret
        .cfi_endproc

        .p2align 4
shape_nothing:
        .cfi_startproc
        ret
        .cfi_endproc

/* Without unwind information: found by nothing, for a static program has no dynamic symbols. */
        .globl shape_bare, shape_bare_site
shape_bare:
        mov     $39, %eax
shape_bare_site:
        syscall
        ret

/* Many alike, 32 bytes each, for the test with threads: even ones punned, odd ones free. */
        .p2align 5
        .globl shape_many
shape_many:
        .rept   500
        .cfi_startproc
        push    $39
        pop     %rax
        syscall
        cmp     $-4095, %rax
        ja      1f
        ret
1:      ud2
        .cfi_endproc
        .p2align 5
        .cfi_startproc
        mov     $39, %eax
        syscall
        cmp     $-4095, %rax
        ja      1f
        ret
1:      ud2
        .cfi_endproc
        .p2align 5
        .endr

/* void shape_call(long (*function)(), long before[14], long after[14]): all registers but RSP, RAX, RCX, R11 */
        .globl shape_call
shape_call:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        push    %rdx
        push    %rdi
        mov     %rsi, %rax
        mov     0(%rax), %rbx
        mov     8(%rax), %rbp
        mov     16(%rax), %r12
        mov     24(%rax), %r13
        mov     32(%rax), %r14
        mov     40(%rax), %r15
        mov     48(%rax), %rdi
        mov     56(%rax), %rsi
        mov     64(%rax), %rdx
        mov     72(%rax), %r8
        mov     80(%rax), %r9
        mov     88(%rax), %r10
        call    *(%rsp)
        mov     8(%rsp), %rcx
        mov     %rbx, 0(%rcx)
        mov     %rbp, 8(%rcx)
        mov     %r12, 16(%rcx)
        mov     %r13, 24(%rcx)
        mov     %r14, 32(%rcx)
        mov     %r15, 40(%rcx)
        mov     %rdi, 48(%rcx)
        mov     %rsi, 56(%rcx)
        mov     %rdx, 64(%rcx)
        mov     %r8, 72(%rcx)
        mov     %r9, 80(%rcx)
        mov     %r10, 88(%rcx)
        mov     %rax, 96(%rcx)
        add     $16, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .data
        .p2align 3
        .globl shape_number
shape_number:
        .quad   77
        .section .note.GNU-stack,"",@progbits
