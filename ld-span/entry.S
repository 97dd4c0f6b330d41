/*
 * The first instruction of ld-span.so and spand: prepares what libc's _start takes for granted.
 */
        .text
        .globl  span_start
        .type   span_start, @function
span_start:
        xor     %ebp, %ebp
        mov     %rsp, %rdi
        call    span_prestart
        mov     %rax, %rsp
        xor     %edx, %edx
        jmp     _start
        .size   span_start, . - span_start
        .section .note.GNU-stack,"",@progbits
