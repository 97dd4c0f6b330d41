/*
 * Making and ending threads and processes.
 *
 * A thread of the program is a kernel thread made by a raw clone on a monitor stack of its own, with a TLS block of the
 * monitor's libc; it enters the program, or shadows it, with the registers its parent had. A process made without
 * CLONE_VM is a plain fork of everything, and goes on as a session of one node. One made with CLONE_VM (vfork,
 * posix_spawn) shares the monitor too and therefore also gets a stack and TLS of its own.
 */
#include "monitor/process.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/context.h"
#include "monitor/control.h"
#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/session.h"
#include "monitor/shadow.h"
#include "monitor/space.h"
#include "monitor/view.h"
#include "runtime/descriptor.h"
#include "runtime/heap.h"
#include "runtime/pager.h"
#include "syscall/patch.h"

struct process process_first = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define SIGNAL_MAX 64
#define ROOM_TRIES 20 /* of a millisecond */

/* glibc's, as its own fork uses them: opening a stream takes the lock on their list. */
extern void _IO_list_lock(void);
extern void _IO_list_unlock(void);
extern void _IO_list_resetlock(void);

/* One fork at a time: from the freeze of the pages to the thaw. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* The child's side, on its own monitor stack, all signals blocked. */
static void child_begin(struct thread *thread)
{
    pid_t maker = thread->tid;
    thread->tid = (pid_t)syscall(SYS_gettid);
    if (thread->foreign) {
        view_thread_begin();
        view_thread_created(maker, thread->tid);
    }
    thread->pid = getpid();
    thread->context->tid = thread->tid;
    thread->context->pid = thread->pid;
    session_pin_home(); /* also a shadow: it may come to run here */
    if (thread->set_tid)
        user_copy((void *)thread->set_tid, &thread->tid, sizeof thread->tid);
    thread_arm();
    /* Who bound it before it had a tid did not find it. */
    if (thread->node == HOME_NODE)
        shadow_resume(thread);
    shadow_follow_affinity(thread->tid);
    shadow_run(thread, thread->context);
}

/* What a child starts with: the registers of the call, with its own stack, result 0 and TLS. */
static void child_context(struct thread *parent, struct thread *child, const struct registers *registers,
                          uint64_t flags, uint64_t stack, uint64_t tls)
{
    struct registers copy = *registers;
    copy.g[REG_RAX] = 0;
    if (stack)
        copy.g[REG_RSP] = stack;
    context_capture(parent, &copy);
    memcpy(child->context, parent->context, sizeof *parent->context + parent->context->xsave_bytes);
    child->context->thread = child->number;
    if (flags & CLONE_SETTLS)
        child->context->fs_base = tls;
    child->app_fs = child->context->fs_base;
    child->classes = parent->classes;
    child->quick = parent->quick;
    child->mask = parent->mask;
    child->sandbox = parent->sandbox;
    if (!(flags & CLONE_VM) || (flags & CLONE_VFORK))
        child->alternate = parent->alternate;
}

/*
 * Processes in our memory that are not waited for (CLONE_VM without CLONE_THREAD and CLONE_VFORK), and their threads:
 * what they use is freed when they are gone, which is looked up when the next one is made.
 */
static struct thread *strangers;
static pthread_mutex_t strangers_lock = PTHREAD_MUTEX_INITIALIZER;

static void stranger_free(struct thread *child, const struct process *parents)
{
    if (child->process != parents)
        munmap(child->process, sizeof *child->process);
    if (child->exec_scratch)
        munmap(child->exec_scratch, child->exec_scratch_bytes);
    if (child->foreign)
        view_thread_ended(child->tid);
    atomic_store(&child->kernel_alive, 0);
    thread_release(child);
}

static void strangers_sweep(void)
{
    pthread_mutex_lock(&strangers_lock);
    for (struct thread **link = &strangers; *link;) {
        struct thread *child = *link;
        if (syscall(SYS_tgkill, child->stranger_group, child->stranger, 0) == 0 || errno != ESRCH) {
            link = &child->next;
            continue;
        }
        *link = child->next;
        stranger_free(child, child->parents);
    }
    pthread_mutex_unlock(&strangers_lock);
}

static void stranger_add(struct thread *child, struct process *parents, pid_t group, pid_t tid)
{
    pthread_mutex_lock(&strangers_lock);
    child->stranger = tid;
    child->stranger_group = group;
    child->parents = parents;
    child->next = strangers;
    strangers = child;
    pthread_mutex_unlock(&strangers_lock);
}

/* Children in our memory whose makers wait until they execute or end. */
static _Atomic unsigned vforks;

/* Counted before it is looked whether the program ends: either this sees that, or who ends it waits. */
static void vfork_begin(void)
{
    atomic_fetch_add(&vforks, 1);
    if (!session_is_ending())
        return;
    atomic_fetch_sub(&vforks, 1);
    session_stop_at_end();
}

void process_await_vforks(int timeout_ms)
{
    for (int i = 0; i < timeout_ms && atomic_load(&vforks) != 0; i++)
        usleep(1000);
}

static long clone_thread(struct thread *parent, struct registers *registers, uint64_t flags, uint64_t stack,
                         uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    thread_block_signals();
    if (atomic_load(&parent->pending) & PENDING_SIGNAL)
        return RESULT_RESTART_NOINT; /* first the handler, then the call: so that a process has it once */
    strangers_sweep();
    struct thread *child = thread_allocate();
    if (!child) {
        thread_set_mask(parent->mask & ~SIGNALS_OURS);
        return -ENOMEM;
    }
    child->process = parent->process;
    /* A thread of another process in our memory stays where that process is, with the descriptors that it has. */
    bool member = (flags & CLONE_THREAD) && !parent->foreign;
    child->node = member ? session_place_thread(view_affinity_nodes(parent->tid)) : HOME_NODE;
    child_context(parent, child, registers, flags, stack, tls);
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_tid = child_tid;
    if (flags & CLONE_CHILD_SETTID)
        child->set_tid = child_tid;
    child->foreign = !member;
    if (child->foreign)
        child->tid = parent->tid; /* until it has its own: whose processors it inherits */
    if (!(flags & CLONE_SIGHAND)) {
        struct process *process =
            mmap(NULL, sizeof *process, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (process == MAP_FAILED) {
            thread_release(child);
            thread_set_mask(parent->mask & ~SIGNALS_OURS);
            return -ENOMEM;
        }
        memcpy(process->actions, parent->process->actions, sizeof process->actions);
        process->known = parent->process->known;
        pthread_mutex_init(&process->lock, NULL);
        child->process = process;
    }
    bool waits = flags & CLONE_VFORK;
    struct process *parents = parent->process;
    atomic_store(&child->kernel_alive, 1);
    if (member)
        thread_register(child);
    /*
     * A thread's tid is cleared in our own word, so that its stack is not used again too early, and in the program's
     * when it ends. Another process may be killed or execute: there the kernel clears the program's word.
     */
    uint64_t host = (flags & ~(uint64_t)(CLONE_SETTLS | CLONE_CHILD_SETTID));
    if (member)
        host |= CLONE_CHILD_CLEARTID;
    int *cleared = member ? (int *)&child->kernel_alive : (int *)child_tid;
    bool inherits = member && !waits;
    if (inherits)
        view_thread_begin();
    if (waits)
        vfork_begin();
    long result = thread_clone(child, host, (int *)parent_tid, cleared, child_begin);
    if (waits)
        atomic_fetch_sub(&vforks, 1);
    if (inherits)
        view_thread_created(parent->tid, (pid_t)result);
    thread_set_mask(parent->mask & ~SIGNALS_OURS);
    if (result < 0)
        child->tid = 0;
    if (result < 0 || waits) {
        if (result < 0 && member) {
            thread_unregister(child);
            session_thread_ended(child->node);
        }
        stranger_free(child, parents);
    } else if (!member) {
        stranger_add(child, parents, flags & CLONE_THREAD ? getpid() : (pid_t)result, (pid_t)result);
    }
    return result;
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static void fork_child(struct thread *thread, struct registers *registers, uint64_t flags, uint64_t stack,
                       uint64_t child_tid, uint64_t tls)
{
    heap_fork_child();
    _IO_list_resetlock();
    descriptor_borrow(flags & CLONE_FILES);
    pager_forget();
    fdguard_close_ours();
    descriptor_borrow(false);
    thread_fork_child(thread);
    session_fork_child();
    view_fork_child(thread->tid);
    control_forget();
    space_fork_child();
    patch_fork_done();
    pthread_mutex_init(&fork_lock, NULL);
    pthread_mutex_init(&strangers_lock, NULL);
    strangers = NULL;
    pthread_mutex_init(&thread->process->lock, NULL);
    if (thread->process != &process_first) {
        process_first = *thread->process;
        thread->process = &process_first;
    }
    thread->foreign = false;
    thread->tid = (pid_t)syscall(SYS_gettid);
    thread->pid = getpid();
    view_pid_is(thread->pid);
    thread->node = HOME_NODE;
    thread->channel = NULL;
    thread->target = -1;
    thread->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
    thread->robust_list = 0;
    thread->signal_count = 0;
    thread->traced = thread->trace_pending = false;
    call_set_home(thread);
    thread_arm();
    if (stack)
        registers->g[REG_RSP] = stack;
    if (flags & CLONE_SETTLS)
        thread->app_fs = tls;
    if (flags & CLONE_CHILD_SETTID) {
        int tid = thread->tid;
        user_copy((void *)child_tid, &tid, sizeof tid);
    }
}

static long clone_process(struct thread *thread, struct registers *registers, uint64_t flags, uint64_t stack,
                          uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    thread_block_signals();
    if (atomic_load(&thread->pending) & PENDING_SIGNAL)
        return RESULT_RESTART_NOINT;
    pthread_mutex_lock(&fork_lock);
    bool distributed = session_use_hold();
    if (distributed)
        pager_freeze();
    patch_fork_prepare();
    space_fork_prepare();
    _IO_list_lock();
    heap_fork_prepare();
    long result = syscall(SYS_clone, flags & ~(uint64_t)(CLONE_SETTLS | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID), 0,
                          parent_tid, 0, 0);
    if (result < 0)
        result = -errno;
    if (result == 0) {
        fork_child(thread, registers, flags, stack, child_tid, tls);
    } else {
        heap_fork_parent();
        _IO_list_unlock();
        space_fork_parent();
        patch_fork_done();
        if (distributed)
            pager_thaw();
        session_use_release();
        pthread_mutex_unlock(&fork_lock);
    }
    thread_set_mask(thread->mask & ~SIGNALS_OURS);
    return result;
}

static long clone_either(struct thread *thread, struct registers *registers, uint64_t flags, uint64_t stack,
                         uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    if (flags & CLONE_VM)
        return clone_thread(thread, registers, flags, stack, parent_tid, child_tid, tls);
    return clone_process(thread, registers, flags, stack, parent_tid, child_tid, tls);
}

long process_clone(struct thread *thread, struct registers *registers, uint64_t flags, uint64_t stack,
                   uint64_t parent_tid, uint64_t child_tid, uint64_t tls)
{
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    long result = clone_either(thread, registers, flags, stack, parent_tid, child_tid, tls);
    bool room = result == -EAGAIN && session_make_room();
    /* The kernel counts a thread for a moment longer than its end can be waited for. */
    for (int tries = 0; room && result == -EAGAIN && tries < ROOM_TRIES; tries++) {
        usleep(1000);
        result = clone_either(thread, registers, flags, stack, parent_tid, child_tid, tls);
    }
    return result;
}

long process_clone3(struct thread *thread, struct registers *registers, uint64_t arguments, uint64_t size)
{
    struct clone_args wanted;
    memset(&wanted, 0, sizeof wanted);
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (size > sizeof wanted)
        return -E2BIG;
    if (user_copy(&wanted, (const void *)arguments, size))
        return -EFAULT;
    /* What clone(2) cannot express is not offered; callers fall back to clone, as on an older kernel. */
    if (wanted.set_tid_size || (wanted.flags & (CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND)))
        return -ENOSYS;
    if ((wanted.flags & 0xff) || (wanted.stack == 0) != (wanted.stack_size == 0) || wanted.exit_signal > SIGNAL_MAX)
        return -EINVAL;
    if ((wanted.flags & (CLONE_THREAD | CLONE_PARENT)) && wanted.exit_signal)
        return -EINVAL;
    uint64_t flags = wanted.flags | wanted.exit_signal;
    uint64_t parent_tid = wanted.flags & CLONE_PIDFD ? wanted.pidfd : wanted.parent_tid;
    if ((wanted.flags & CLONE_PIDFD) && (wanted.flags & CLONE_PARENT_SETTID))
        return -ENOSYS;
    return process_clone(thread, registers, flags, wanted.stack ? wanted.stack + wanted.stack_size : 0, parent_tid,
                         wanted.child_tid, wanted.tls);
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static void robust_entry(uint64_t address, int32_t tid)
{
    uint32_t value, seen;
    if (user_copy(&value, (const void *)address, sizeof value))
        return;
    for (int i = 0; i < 1000 && (value & FUTEX_TID_MASK) == (uint32_t)tid; i++) {
        uint32_t dead = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_compare_exchange((uint32_t *)address, value, dead, &seen))
            return;
        if (seen == value) {
            if (value & FUTEX_WAITERS)
                syscall(SYS_futex, address, FUTEX_WAKE, 1, NULL, NULL, 0);
            return;
        }
        value = seen;
    }
}

/*
 * The kernel's exit_robust_list, here because at that point the kernel no longer waits for pages that are on another
 * node (futex(2), "Robust futexes"; a page it cannot reach is passed over in silence).
 */
static void robust_walk(struct thread *thread)
{
    uint64_t head[3], entry, next;
    if (!thread->robust_list || user_copy(head, (const void *)thread->robust_list, sizeof head))
        return;
    entry = head[0];
    for (int i = 0; i < ROBUST_LIMIT && (entry & ~1ul) != thread->robust_list; i++) {
        bool last = user_copy(&next, (const void *)(entry & ~1ul), sizeof next);
        if (entry != head[2])
            robust_entry((entry & ~1ul) + head[1], thread->tid);
        if (last)
            break;
        entry = next;
    }
    if (head[2])
        robust_entry((head[2] & ~1ul) + head[1], thread->tid);
}

static void clear_tid(const struct thread *thread)
{
    int zero = 0;
    if (!thread->clear_tid)
        return;
    user_copy((void *)thread->clear_tid, &zero, sizeof zero);
    syscall(SYS_futex, thread->clear_tid, FUTEX_WAKE, 1, NULL, NULL, 0);
}

_Noreturn void process_exit_thread(struct thread *thread, int status)
{
    if (thread->foreign) {
        clear_tid(thread); /* the kernel does it, too, but does not wait for a page that is on another node */
        for (;;)
            syscall(SYS_exit, status);
    }
    if (thread_count() == 1)
        process_exit(status);
    thread_block_signals();
    robust_walk(thread);
    clear_tid(thread);
    session_thread_ended(thread->node);
    view_thread_ended(thread->tid);
    for (unsigned i = 0; i < thread->signal_count; i++)
        if (thread->signals[i].si_code != SI_TKILL)
            kill(thread->pid, thread->signals[i].si_signo); /* meant for the process: another thread has it */
    if (thread_unregister(thread) == 0)
        process_exit(status); /* the other one ended meanwhile */
    syscall(SYS_set_robust_list, NULL, 24);
    bool first = thread->tid == thread->pid;
    if (!first) {
        syscall(SYS_set_tid_address, &thread->kernel_alive);
        thread_release(thread); /* not handed out before the kernel clears kernel_alive */
    }
    for (;;)
        syscall(SYS_exit, status);
}

_Noreturn void process_exit(int status)
{
    if (thread_self()->foreign) {
        clear_tid(thread_self());
    } else {
        thread_block_signals();
        session_end();
    }
    for (;;)
        syscall(SYS_exit_group, status);
}
