/*
 * Which faults are those of a process with other memory: process_vm_writev, ptrace. Not for what that means:
 * coherence_home.c.
 *
 * A fault tells the kernel's number of its thread. That it uses our memory is asked of the kernel, and believed for a
 * moment: a number is not given to another thread so soon, for all others are given out before.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/pager_private.h"

#define KNOWN_THREADS 64u
#define KNOWN_NS      1000000000u

static struct known_thread {
    uint32_t thread;
    uint64_t since_ns;
} known[KNOWN_THREADS];

/* Threads, and children of vfork. */
static bool has_our_memory(pid_t thread)
{
    return tgkill(getpid(), thread, 0) == 0 || errno != ESRCH ||
           syscall(SYS_kcmp, getpid(), thread, KCMP_VM, 0, 0) == 0;
}

bool pager_foreign(uint32_t thread)
{
    struct known_thread *slot = &known[thread % KNOWN_THREADS];
    uint64_t now_ns = pager_now_ns();
    if (thread == 0 || (slot->thread == thread && now_ns - slot->since_ns < KNOWN_NS))
        return false;
    if (!has_our_memory((pid_t)thread))
        return true;
    *slot = (struct known_thread){.thread = thread, .since_ns = now_ns};
    return false;
}

void pager_foreign_forget(void)
{
    for (unsigned i = 0; i < KNOWN_THREADS; i++)
        known[i].thread = 0;
}
