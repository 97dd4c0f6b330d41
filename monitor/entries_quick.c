/*
 * getdents without a full crossing: only directories whose names are numbers can list threads or descriptors, and all
 * others are the kernel's. Not for which numbers are the program's: monitor/view_process.c goes on from there.
 * General registers only, no TLS, no libc.
 */
#include <sys/syscall.h>
#include <ucontext.h>

#include "monitor/entries.h"
#include "monitor/thread.h"

bool entries_have_numbers(uint64_t number, uint64_t buffer, long size)
{
    struct entry_head head;
    for (long at = 0; at < size; at += head.bytes) {
        if (user_copy(&head, (const void *)(buffer + (uint64_t)at), sizeof head) != 0 || head.bytes < sizeof head)
            return true; /* unmapped or overwritten meanwhile: looked at with care */
        if (ENTRY_FIRST(head, number) >= '0' && ENTRY_FIRST(head, number) <= '9')
            return true;
    }
    return false;
}

long entries_quick(struct registers *registers)
{
    const uint64_t *g = registers->g;
    const uint64_t arguments[6] = {g[REG_RDI], g[REG_RSI], g[REG_RDX]};
    const uint64_t number = (uint32_t)g[REG_RAX];
    if (number != SYS_getdents64 && number != SYS_getdents)
        return 1;
    struct thread *thread = thread_self();
    long result = syscall_interruptible((long)number, arguments);
    if (RESULT_IS_RESTART(result))
        return 1;
    if (result > 0 && entries_have_numbers(number, arguments[1], result)) {
        thread->entries_bytes = result;
        return 1;
    }
    thread->calls_local++;
    registers->g[REG_RAX] = (uint64_t)result;
    return 0;
}
