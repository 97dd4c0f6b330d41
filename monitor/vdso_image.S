/* The session's vDSO as bytes in our programs: built from monitor/vdso, used by monitor/clock.c. */
        .section .rodata
        .p2align 12
        .globl  vdso_image_start
        .hidden vdso_image_start
vdso_image_start:
        .incbin VDSO_FILE
        .globl  vdso_image_end
        .hidden vdso_image_end
vdso_image_end:
        .section .note.GNU-stack,"",@progbits
