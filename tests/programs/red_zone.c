/* The 128 bytes below the stack pointer are the function's own, also across a call made in it. */
#include "behaviour.h"

/* Fills the red zone, makes the call and counts the words that are still what they were. */
long red_zone_count(long number, long a, long b, long c);
__asm__(".text\n"
        ".type red_zone_count, @function\n"
        "red_zone_count:\n"
        "    .cfi_startproc\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsi\n"
        "    mov %rcx, %rdx\n"
        "    mov $16, %r8d\n"
        "1:  mov %r8, %r9\n"
        "    neg %r9\n"
        "    movabs $0x1122334455667788, %r10\n"
        "    add %r8, %r10\n"
        "    mov %r10, (%rsp,%r9,8)\n"
        "    dec %r8\n"
        "    jnz 1b\n"
        "    syscall\n"
        "    xor %eax, %eax\n"
        "    mov $16, %r8d\n"
        "2:  mov %r8, %r9\n"
        "    neg %r9\n"
        "    movabs $0x1122334455667788, %r10\n"
        "    add %r8, %r10\n"
        "    cmp %r10, (%rsp,%r9,8)\n"
        "    jne 3f\n"
        "    inc %eax\n"
        "3:  dec %r8\n"
        "    jnz 2b\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size red_zone_count, . - red_zone_count\n");

int main(void)
{
    char buffer[64];
    for (int i = 0; i < OFTEN; i++) {
        CHECK(red_zone_count(SYS_getpid, 0, 0, 0) == 16);
        CHECK(red_zone_count(SYS_getcwd, (long)buffer, sizeof buffer, 0) == 16);
        CHECK(red_zone_count(SYS_readlink, (long)"/proc/self/exe", (long)buffer, sizeof buffer) == 16);
        CHECK(red_zone_count(SYS_read, -1, (long)buffer, 1) == 16);
        CHECK(red_zone_count(100000, 0, 0, 0) == 16);
        CHECK(red_zone_count(SYS_sched_yield, 0, 0, 0) == 16);
    }
    puts("16 words");
    return 0;
}
