/*
 * The dispatch table: our functions, the driver's, and for what we know nothing of stubs that drain
 * first. Not for what our functions do.
 *
 * A stub keeps all argument registers and the stack as they are, so that it serves every signature:
 * it calls the drain with the number of its target and jumps on.
 */
#include <stddef.h>
#include <string.h>

#include "coproc/opencl/layer.h"

#define EXTENSION_STUBS 64
#define STUBS           (ENTRY_COUNT + EXTENSION_STUBS)
#define STUB_BYTES      16
#define TEXT_(value)    #value
#define TEXT(value)     TEXT_(value)

cl_icd_dispatch layer_table;

/* The table has the entries of entries.h, in their order, and no other. */
enum {
#define ENTRY(name, how) INDEX_##name,
#include "coproc/opencl/entries.h"
#undef ENTRY
    INDEX_COUNT
};
_Static_assert(INDEX_COUNT == ENTRY_COUNT && sizeof(cl_icd_dispatch) == ENTRY_COUNT * sizeof(void *),
               "CL/cl_icd.h has an entry point that entries.h lacks");
#define ENTRY(name, how)                                                                                               \
    _Static_assert(offsetof(cl_icd_dispatch, name) == INDEX_##name * sizeof(void *), #name " is out of order");
#include "coproc/opencl/entries.h"
#undef ENTRY

__attribute__((visibility("hidden"))) void *stub_targets[STUBS];
extern const char stub_code[];
__attribute__((visibility("hidden"))) void stub_drain(void);

__attribute__((used)) void stub_drain(void)
{
    coproc_drain(engine);
}

__asm__(".text\n"
        ".p2align 4\n"
        ".globl stub_code\n"
        ".hidden stub_code\n"
        "stub_code:\n"
        ".set stub_number, 0\n"
        ".rept " TEXT(213) "\n"
                           ".p2align 4\n"
                           "    movl $stub_number, %eax\n"
                           "    jmp stub_common\n"
                           ".set stub_number, stub_number + 1\n"
                           ".endr\n"
                           ".p2align 4\n"
                           "stub_common:\n"
                           "    .cfi_startproc\n"
                           "    pushq %rdi\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %rsi\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %rdx\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %rcx\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %r8\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %r9\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    pushq %rax\n"
                           "    .cfi_adjust_cfa_offset 8\n"
                           "    subq $128, %rsp\n"
                           "    .cfi_adjust_cfa_offset 128\n"
                           "    movups %xmm0, (%rsp)\n"
                           "    movups %xmm1, 16(%rsp)\n"
                           "    movups %xmm2, 32(%rsp)\n"
                           "    movups %xmm3, 48(%rsp)\n"
                           "    movups %xmm4, 64(%rsp)\n"
                           "    movups %xmm5, 80(%rsp)\n"
                           "    movups %xmm6, 96(%rsp)\n"
                           "    movups %xmm7, 112(%rsp)\n"
                           "    call stub_drain\n"
                           "    movups (%rsp), %xmm0\n"
                           "    movups 16(%rsp), %xmm1\n"
                           "    movups 32(%rsp), %xmm2\n"
                           "    movups 48(%rsp), %xmm3\n"
                           "    movups 64(%rsp), %xmm4\n"
                           "    movups 80(%rsp), %xmm5\n"
                           "    movups 96(%rsp), %xmm6\n"
                           "    movups 112(%rsp), %xmm7\n"
                           "    addq $128, %rsp\n"
                           "    .cfi_adjust_cfa_offset -128\n"
                           "    popq %rax\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %r9\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %r8\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %rcx\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %rdx\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %rsi\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    popq %rdi\n"
                           "    .cfi_adjust_cfa_offset -8\n"
                           "    leaq stub_targets(%rip), %r11\n"
                           "    jmp *(%r11,%rax,8)\n"
                           "    .cfi_endproc\n");
_Static_assert(STUBS == 213, "as many stubs as the assembly has");

static void *stub_make(unsigned number, void *target)
{
    stub_targets[number] = target;
    return (void *)(uintptr_t)(stub_code + number * STUB_BYTES);
}

#define FILL_PASS(name)  layer_table.name = real->name;
#define FILL_WRAP(name)  layer_table.name = real->name ? layer_##name : NULL;
#define FILL_DRAIN(name) layer_table.name = real->name ? stub_make(INDEX_##name, (void *)real->name) : NULL;

void table_fill(void)
{
#define ENTRY(name, how) FILL_##how(name)
#include "coproc/opencl/entries.h"
#undef ENTRY
}

void *table_find(const char *wanted)
{
    static const char *const names[] = {
#define ENTRY(name, how) #name,
#include "coproc/opencl/entries.h"
#undef ENTRY
    };
    for (unsigned i = 0; i < ENTRY_COUNT; i++)
        if (!strcmp(names[i], wanted))
            return ((void **)(void *)&layer_table)[i];
    return NULL;
}

void *table_stub(void *target)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static unsigned count;
    void *stub = NULL;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count && !stub; i++)
        if (stub_targets[ENTRY_COUNT + i] == target)
            stub = stub_make(ENTRY_COUNT + i, target);
    if (!stub && count < EXTENSION_STUBS) {
        stub = stub_make(ENTRY_COUNT + count, target);
        count++;
    }
    pthread_mutex_unlock(&lock);
    return stub;
}
