#include "monitor/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/fatal.h"
#include "monitor/session.h"

#define STRICT_DATA 0x5350

extern const char __executable_start[], etext[];

/* One that is installed; those of a thread are a list, whose tail other threads share. Never freed. */
struct sandbox {
    const struct sandbox *older;
    unsigned length;
    struct sock_filter code[];
};

/* ---- judging ------------------------------------------------------------------------------------------------------
 */

static uint32_t operate(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return b ? a / b : 0;
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_LSH:
        return b < 32 ? a << b : 0;
    case BPF_RSH:
        return b < 32 ? a >> b : 0;
    case BPF_NEG:
        return -a;
    default:
        return a ^ b; /* BPF_XOR */
    }
}

static bool jumps(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    default:
        return a & b; /* BPF_JSET */
    }
}

/* What the filter says. The kernel has checked it: every path ends with a return, and jumps go forward. */
static uint32_t verdict(const struct sandbox *filter, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    for (unsigned i = 0; i < filter->length; i++) {
        const struct sock_filter *at = &filter->code[i];
        uint32_t operand = BPF_SRC(at->code) == BPF_X ? x : at->k;
        switch (BPF_CLASS(at->code)) {
        case BPF_LD:
            if (BPF_MODE(at->code) == BPF_ABS && at->k <= sizeof *data - sizeof a)
                memcpy(&a, (const char *)data + at->k, sizeof a);
            else
                a = BPF_MODE(at->code) == BPF_MEM   ? memory[at->k % BPF_MEMWORDS]
                    : BPF_MODE(at->code) == BPF_LEN ? sizeof *data
                                                    : at->k;
            break;
        case BPF_LDX:
            x = BPF_MODE(at->code) == BPF_MEM   ? memory[at->k % BPF_MEMWORDS]
                : BPF_MODE(at->code) == BPF_LEN ? sizeof *data
                                                : at->k;
            break;
        case BPF_ST:
            memory[at->k % BPF_MEMWORDS] = a;
            break;
        case BPF_STX:
            memory[at->k % BPF_MEMWORDS] = x;
            break;
        case BPF_ALU:
            a = operate(at->code, a, operand);
            break;
        case BPF_JMP:
            i += BPF_OP(at->code) == BPF_JA ? at->k : jumps(at->code, a, operand) ? at->jt : at->jf;
            break;
        case BPF_RET:
            return BPF_RVAL(at->code) == BPF_A ? a : at->k;
        default: /* BPF_MISC */
            if (BPF_MISCOP(at->code) == BPF_TAX)
                x = a;
            else
                a = x;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

bool sandbox_allows(const struct thread *thread, uint64_t number, const uint64_t a[6], uint64_t instruction)
{
    struct seccomp_data data = {.nr = (int)number, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = instruction};
    memcpy(data.args, a, sizeof data.args);
    for (const struct sandbox *filter = thread->sandbox; filter; filter = filter->older) {
        uint32_t action = verdict(filter, &data) & SECCOMP_RET_ACTION_FULL;
        if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG)
            return false;
    }
    return true;
}

/* Filters for all threads that the kernel has and these do not yet, or that it is about to refuse. */
static _Atomic unsigned coming;

bool sandbox_judges(const struct thread *thread)
{
    return thread->sandbox || atomic_load(&coming) != 0 || session_configuration()->filtered;
}

/* ---- installing ---------------------------------------------------------------------------------------------------
 */

/* Calls of our text pass, but for the two places where it makes those of the program. */
#define PROLOGUE 8

static void prologue_write(struct sock_filter code[PROLOGUE])
{
    const uint64_t start = (uint64_t)__executable_start, end = (uint64_t)etext;
    const uint32_t offset = offsetof(struct seccomp_data, instruction_pointer);
    SPAN_ASSERT(start >> 32 == end >> 32);
    const struct sock_filter prologue[PROLOGUE] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(start >> 32), 0, 6),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)start, 0, 4),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)end, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uint64_t)direct_after, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uint64_t)gadget_after, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    memcpy(code, prologue, sizeof prologue);
}

static bool sandbox_share(struct thread *thread, void *filters)
{
    thread->sandbox = filters;
    return true;
}

static long install(struct thread *thread, const struct sock_fprog *program, unsigned flags)
{
    if (program->len == 0 || program->len > BPF_MAXINSNS - PROLOGUE)
        return -EINVAL;
    size_t bytes = program->len * sizeof program->filter[0];
    struct sandbox *sandbox = malloc(sizeof *sandbox + PROLOGUE * sizeof program->filter[0] + bytes);
    if (!sandbox)
        return -ENOMEM;
    sandbox->older = thread->sandbox;
    sandbox->length = program->len + PROLOGUE;
    prologue_write(sandbox->code);
    if (user_copy(sandbox->code + PROLOGUE, program->filter, bytes)) {
        free(sandbox);
        return -EFAULT;
    }
    struct sock_fprog whole = {(unsigned short)sandbox->length, sandbox->code};
    atomic_fetch_add(&coming, 1);
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &whole);
    if (result < 0 ||
        ((flags & SECCOMP_FILTER_FLAG_TSYNC) && !(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) && result > 0)) {
        result = result < 0 ? -errno : result; /* or the thread that stands in the way */
        atomic_fetch_sub(&coming, 1);
        free(sandbox);
        return result;
    }
    /* What is judged here never comes from our text. */
    sandbox->length = program->len;
    memmove(sandbox->code, sandbox->code + PROLOGUE, bytes);
    thread->sandbox = sandbox;
    if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        thread_each(sandbox_share, sandbox);
    atomic_fetch_sub(&coming, 1);
    return result;
}

/* As a filter; a trap tells our handler to end the thread as the kernel would, by SIGKILL. */
static long install_strict(struct thread *thread)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | STRICT_DATA),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* a strict thread cannot execute anything anyway */
    return install(thread, &program, 0);
}

bool sandbox_is_strict(int data)
{
    return data == STRICT_DATA;
}

bool sandbox_is(uint64_t number, const uint64_t a[6])
{
    return (number == SYS_seccomp && (a[0] == SECCOMP_SET_MODE_FILTER || a[0] == SECCOMP_SET_MODE_STRICT)) ||
           (number == SYS_prctl && a[0] == PR_SET_SECCOMP);
}

long sandbox_call(struct thread *thread, uint64_t number, const uint64_t a[6])
{
    bool strict = number == SYS_seccomp ? a[0] == SECCOMP_SET_MODE_STRICT : a[1] == SECCOMP_MODE_STRICT;
    if (number == SYS_prctl && !strict && a[1] != SECCOMP_MODE_FILTER)
        return -EINVAL;
    if (strict)
        return number == SYS_seccomp && (a[1] || a[2]) ? -EINVAL : install_strict(thread);
    struct sock_fprog program;
    uint64_t where = a[2];
    if (user_copy(&program, (const void *)where, sizeof program))
        return -EFAULT;
    return install(thread, &program, number == SYS_seccomp ? (unsigned)a[1] : 0);
}
