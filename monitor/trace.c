/* A process that asks to be traced: when the kernel is told. */
#include "monitor/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/calls.h"

/* Calls at which a tracer expects its child to stop. */
static bool stops_traced(uint64_t number)
{
    return number == SYS_kill || number == SYS_tkill || number == SYS_tgkill || number == SYS_rt_sigqueueinfo ||
           number == SYS_rt_tgsigqueueinfo || number == SYS_execve || number == SYS_execveat;
}

/*
 * PTRACE_TRACEME is put off to the next call at which the tracer waits for a stop: each dispatched call is a signal and
 * would be one more stop, and a debugger that has used vfork is not there to see it.
 */
long trace_me(struct thread *thread)
{
    if (thread->traced)
        return -EPERM;
    static uint8_t all_slow[CLASS_COUNT];
    memset(all_slow, CLASS_SLOW, sizeof all_slow);
    thread->traced = thread->trace_pending = true;
    thread->classes = all_slow;
    thread->quick = NULL;
    return 0;
}

void trace_call(struct thread *thread, uint64_t number)
{
    if (!thread->trace_pending || !stops_traced(number))
        return;
    thread->trace_pending = false;
    call_set_home(thread);
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}
