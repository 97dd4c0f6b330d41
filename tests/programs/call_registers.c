/* A call changes RAX, RCX and R11, and no other general register: arguments and callee-saved ones
 * keep their values. */
#include "behaviour.h"

struct registers {
    long rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r10, r8, r9, rax;
};

void call_with(struct registers *registers);
__asm__(".text\n"
        ".type call_with, @function\n"
        "call_with:\n"
        "    .cfi_startproc\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rdi\n"
        "    .cfi_adjust_cfa_offset 56\n"
        "    mov %rdi, %rax\n"
        "    mov (%rax), %rbx; mov 8(%rax), %rbp; mov 16(%rax), %r12; mov 24(%rax), %r13\n"
        "    mov 32(%rax), %r14; mov 40(%rax), %r15; mov 48(%rax), %rdi; mov 56(%rax), %rsi\n"
        "    mov 64(%rax), %rdx; mov 72(%rax), %r10; mov 80(%rax), %r8; mov 88(%rax), %r9\n"
        "    mov 96(%rax), %rax\n"
        "    syscall\n"
        "    mov (%rsp), %rcx\n"
        "    mov %rbx, (%rcx); mov %rbp, 8(%rcx); mov %r12, 16(%rcx); mov %r13, 24(%rcx)\n"
        "    mov %r14, 32(%rcx); mov %r15, 40(%rcx); mov %rdi, 48(%rcx); mov %rsi, 56(%rcx)\n"
        "    mov %rdx, 64(%rcx); mov %r10, 72(%rcx); mov %r8, 80(%rcx); mov %r9, 88(%rcx)\n"
        "    mov %rax, 96(%rcx)\n"
        "    pop %rdi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    .cfi_adjust_cfa_offset -56\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size call_with, . - call_with\n");

static long check_call(long number, long a, long b, long c)
{
    struct registers before = {101, 102, 103, 104, 105, 106, a, b, c, 0, 108, 109, number};
    struct registers after = before;
    call_with(&after);
    long result = after.rax;
    after.rax = before.rax;
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    return result;
}

int main(void)
{
    char buffer[256];
    for (int i = 0; i < OFTEN; i++) {
        CHECK(check_call(SYS_getpid, 1, 2, 3) == getpid());
        CHECK(check_call(SYS_openat, -100, (long)"/nowhere", 0) == -ENOENT);
        CHECK(check_call(SYS_openat, -100, (long)"/proc/nowhere", 0) == -ENOENT);
        CHECK(check_call(SYS_getcwd, (long)buffer, sizeof buffer, 5) > 0);
        CHECK(check_call(SYS_read, -1, 7, 8) == -EBADF);
        CHECK(check_call(100000, -1, -2, -3) == -ENOSYS);
        CHECK(check_call(SYS_uname, 0, 3, 4) == -EFAULT);
        CHECK(check_call(SYS_munmap, 1, 2, 3) == -EINVAL);
        CHECK(check_call(SYS_rt_sigprocmask, 77, 0, 0) < 0);
    }
    puts("kept");
    return 0;
}
