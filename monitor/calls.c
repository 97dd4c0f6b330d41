/*
 * Carrying out calls: the class tables, the way from the crossing to the handlers, and the small handlers that belong
 * to no topic.
 */
#include "monitor/calls.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor/active.h"
#include "monitor/context.h"
#include "monitor/direct_read.h"
#include "monitor/entries.h"
#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/memory_calls.h"
#include "monitor/process.h"
#include "monitor/sandbox.h"
#include "monitor/session.h"
#include "monitor/shadow.h"
#include "monitor/signal.h"
#include "monitor/timed_calls.h"
#include "monitor/trace.h"
#include "monitor/user.h"
#include "monitor/view.h"
#include "runtime/descriptor.h"
#include "runtime/pager.h"
#include "syscall/patch.h"
#include "syscall/table.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

/* ---- classes --------------------------------------------------------------------------------------------------------
 */

/* Calls that are looked at only when their arguments say so: a path may name something that the session shows
 * differently, a descriptor be ours, a mask open what we may not block. */
static const struct {
    uint16_t number;
    uint8_t class;
} path_calls[] = {
    {SYS_open, CLASS_PATH0},
    {SYS_stat, CLASS_PATH0},
    {SYS_lstat, CLASS_PATH0},
    {SYS_readlink, CLASS_PATH0},
    {SYS_openat, CLASS_PATH1},
    {SYS_newfstatat, CLASS_PATH1},
    {SYS_readlinkat, CLASS_PATH1},
    {SYS_openat2, CLASS_PATH1},
    {SYS_statx, CLASS_PATH1},
    {SYS_close, CLASS_FD},
    {SYS_fstat, CLASS_FD},
    {SYS_fcntl, CLASS_FD},
    {SYS_dup, CLASS_FD},
    {SYS_lseek, CLASS_FD},
    {SYS_ioctl, CLASS_FD},
    {SYS_rt_sigsuspend, CLASS_SLOW},
    {SYS_ppoll, CLASS_ARGUMENT3},
    {SYS_pselect6, CLASS_ARGUMENT5},
    {SYS_epoll_pwait, CLASS_ARGUMENT4},
    {SYS_epoll_pwait2, CLASS_ARGUMENT4},
    {SYS_io_pgetevents, CLASS_ARGUMENT5},
    {SYS_getcpu, CLASS_DIRECT},
    {SYS_io_setup, CLASS_SLOW},
    {SYS_io_uring_setup, CLASS_SLOW},
    {SYS_io_uring_register, CLASS_SLOW}, /* a ring that came with a message, or through an execve */
    {SYS_futex, CLASS_FUTEX},
};

static void class_slow(uint64_t number, void *classes)
{
    if (number != SYS_futex)
        ((uint8_t *)classes)[number] = CLASS_SLOW;
}

/* What threads on several nodes make necessary. */
static void classes_share(uint8_t *classes)
{
    timed_call_each(class_slow, classes); /* threads that wait can be asked to move */
    classes[SYS_read] = classes[SYS_pread64] = CLASS_READ;
    classes[SYS_readv] = classes[SYS_preadv] = classes[SYS_preadv2] = CLASS_SLOW;
}

static const uint8_t *classes_home(void)
{
    static uint8_t classes[CLASS_COUNT]; /* beyond the table: direct, for the kernel to refuse */
    static bool made;
    if (made)
        return classes;
    for (unsigned i = 0; i < CALL_COUNT; i++) {
        uint8_t place = call_table[i].place;
        classes[i] = place == CALL_HERE || place == CALL_HOME || place == CALL_UNKNOWN ? CLASS_DIRECT : CLASS_SLOW;
    }
    for (size_t i = 0; i < sizeof path_calls / sizeof path_calls[0]; i++)
        classes[path_calls[i].number] = path_calls[i].class;
    if (!session_shared())
        classes[SYS_sched_getaffinity] = classes[SYS_sched_setaffinity] = CLASS_DIRECT;
    else
        classes_share(classes);
    made = true;
    return classes;
}

void call_set_home(struct thread *thread)
{
    thread->classes = classes_home();
    thread->quick = entries_quick;
}

const uint8_t *call_classes_peer(void)
{
    static uint8_t classes[CLASS_COUNT];
    memset(classes, CLASS_SLOW, sizeof classes);
    for (unsigned i = 0; i < CALL_COUNT; i++)
        if (call_table[i].place == CALL_HERE)
            classes[i] = CLASS_DIRECT;
    return classes;
}

/* ---- handlers of no topic -------------------------------------------------------------------------------------------
 */

static long raw(uint64_t number, const uint64_t a[6])
{
    return syscall_interruptible((long)number, a);
}

/* Path in `path_argument`: 1 special and copied, 0 not ours, negative errno. */
static int path_special(const uint64_t a[6], unsigned path_argument, char path[PATH_MAX])
{
    if (user_string(path, a[path_argument], PATH_MAX) < 0)
        return 0; /* the kernel says what is wrong with it */
    return view_path_is_special(path);
}

static long open_call(uint64_t number, const uint64_t a[6])
{
    char path[PATH_MAX];
    unsigned at = number == SYS_open ? 0 : 1;
    if (!path_special(a, at, path))
        return raw(number, a);
    uint64_t flags = a[at + 1];
    if (number == SYS_openat2 && user_copy(&flags, (const void *)a[2], sizeof flags))
        return -EFAULT;
    int fd = view_open(path, (int)flags);
    return fd == -ENOSYS ? raw(number, a) : fd;
}

static long readlink_call(uint64_t number, const uint64_t a[6])
{
    char path[PATH_MAX], target[PATH_MAX];
    unsigned at = number == SYS_readlink ? 0 : 1;
    if (!path_special(a, at, path))
        return raw(number, a);
    long length = view_readlink(path, target, sizeof target);
    if (length == -ENOSYS)
        return raw(number, a);
    if (length < 0)
        return length;
    if ((int)a[at + 2] <= 0)
        return -EINVAL;
    if ((uint64_t)length > a[at + 2])
        length = (long)a[at + 2];
    return user_copy((void *)a[at + 1], target, (size_t)length) ? -EFAULT : length;
}

/* Follows /proc/self/exe to the program; the link itself is left alone. */
static long stat_call(uint64_t number, const uint64_t a[6])
{
    char path[PATH_MAX], exe[PATH_MAX];
    unsigned at = number == SYS_stat || number == SYS_lstat ? 0 : 1;
    uint8_t first;
    if (at == 1 && descriptor_is_ours((unsigned)a[0]) && user_copy(&first, (const void *)a[1], 1) == 0 && first != '/')
        return -EBADF;
    bool link = number == SYS_lstat || (number == SYS_newfstatat && (a[3] & AT_SYMLINK_NOFOLLOW)) ||
                (number == SYS_statx && (a[2] & AT_SYMLINK_NOFOLLOW));
    if (link || !path_special(a, at, path) || !view_exe_of(path, exe, sizeof exe))
        return raw(number, a);
    uint64_t copy[6];
    memcpy(copy, a, sizeof copy);
    copy[at] = (uint64_t)exe;
    return raw(number, copy);
}

static long affinity_call(struct thread *thread, uint64_t number, const uint64_t a[6])
{
    if (!session_shared())
        return raw(number, a);
    uint8_t mask[1024];
    size_t size = a[1] < sizeof mask ? a[1] : sizeof mask;
    pid_t pid = (pid_t)a[0] ? (pid_t)a[0] : thread->tid;
    memset(mask, 0, sizeof mask);
    if (number == SYS_sched_setaffinity) {
        if (user_copy(mask, (const void *)a[2], size))
            return -EFAULT;
        long result = view_sched_setaffinity(pid, size, mask);
        if (result == 0)
            shadow_follow_affinity(pid);
        if (result == 0 && pid != thread->tid)
            shadow_await_affinity(pid);
        return result;
    }
    long result = view_sched_getaffinity(pid, size, mask);
    if (result > 0 && user_copy((void *)a[2], mask, (size_t)result))
        return -EFAULT;
    return result;
}

/* Asks for a page as an instruction of the program would: false when the program may not write there. */
static bool page_bring(uint64_t word)
{
    uint32_t seen;
    return user_compare_exchange((uint32_t *)word, 0, 0, &seen) == 0;
}

#define FUTEX_TRIES_MAX 100000

/*
 * Where the kernel writes a futex word itself (priority inheritance, FUTEX_WAKE_OP), it does not wait for a page that
 * is on another node but answers EFAULT (kernel/futex: fault_in_user_writeable does not retry). The page is brought
 * here and the call made again; that ends when no other node takes it in between.
 */
static long futex_call(const uint64_t a[6])
{
    for (int i = 0; i < FUTEX_TRIES_MAX; i++) {
        long result = raw(SYS_futex, a);
        if (result != -EFAULT || !session_distributed())
            return result;
        int operation = (int)a[1] & FUTEX_CMD_MASK;
        bool second =
            operation == FUTEX_WAKE_OP || operation == FUTEX_CMP_REQUEUE_PI || operation == FUTEX_WAIT_REQUEUE_PI;
        if (!page_bring(a[0]) || (second && !page_bring(a[4])))
            return result;
    }
    return -EFAULT;
}

static long arch_prctl_call(struct thread *thread, const uint64_t a[6])
{
    uint64_t none = 0;
    switch (a[0]) {
    case ARCH_SET_FS:
        if (a[1] >= SPAN_ZONE_END)
            return -EPERM;
        thread->app_fs = a[1];
        return 0;
    case ARCH_GET_FS:
        return user_copy((void *)a[1], &thread->app_fs, sizeof thread->app_fs) ? -EFAULT : 0;
    case ARCH_GET_GS:
        return user_copy((void *)a[1], &none, sizeof none) ? -EFAULT : 0;
    case ARCH_SET_GS: /* GS is how the monitor finds itself */
        return -EPERM;
    default:
        /* Shadow stacks and tile registers would have to be carried between domains and nodes. */
        if ((a[0] >= 0x1021 && a[0] <= 0x1026) || (a[0] >= 0x5001 && a[0] <= 0x5005))
            return -EINVAL;
        return raw(SYS_arch_prctl, a);
    }
}

static long sigreturn_call(struct thread *thread, struct registers *registers)
{
    struct frame_ucontext frame;
    uint64_t at = registers->g[REG_RSP];
    if (user_copy(&frame, (const void *)at, sizeof frame))
        span_fatal("sigreturn: the frame at %#lx cannot be read", at);
    uint64_t area = frame.fpstate;
    frame.fpstate = 0;
    context_capture_frame(thread, &frame);
    thread->context->gregs[REG_RIP] = patch_translate_return(frame.g[REG_RIP]);
    if (area) {
        uint8_t *to = context_xsave(thread->context);
        uint32_t software[5], bytes = 512;
        if (user_copy(to, (const void *)area, 512) == 0) {
            memcpy(software, to + FP_SW_OFFSET, sizeof software);
            if (software[0] == FP_MAGIC1 && software[4] > 576 && software[4] <= thread_xsave_bytes() &&
                user_copy(to, (const void *)area, software[4]) == 0)
                bytes = software[4];
            memset(to + FP_SW_OFFSET, 0, 48);
            thread->context->xsave_bytes = bytes;
        }
    }
    thread_block_signals();
    thread->wait_call = 0; /* as the kernel: a handler has run */
    thread->mask = frame.sigmask & ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
    if (frame.stack.ss_flags & SS_DISABLE)
        frame.stack.ss_size = 0;
    thread->alternate = frame.stack;
    thread->alternate.ss_flags &= ~SS_ONSTACK;
    signal_release(thread);
    shadow_resume(thread);
}

/* ---- dispatch to handlers
 * -------------------------------------------------------------------------------------------- */

static long thread_call(struct thread *thread, uint64_t number, const uint64_t a[6], struct registers *registers)
{
    SPAN_ASSERT(registers);
    switch (number) {
    case SYS_clone:
        return process_clone(thread, registers, a[0] & 0xffffffff, a[1], a[2], a[3], a[4]);
    case SYS_clone3:
        return process_clone3(thread, registers, a[0], a[1]);
    case SYS_fork:
        return process_clone(thread, registers, SIGCHLD, 0, 0, 0, 0);
    case SYS_vfork:
        return process_clone(thread, registers, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    case SYS_execve:
        return process_exec(thread, AT_FDCWD, a[0], a[1], a[2], 0);
    case SYS_execveat:
        return process_exec(thread, (int)a[0], a[1], a[2], a[3], (int)a[4]);
    case SYS_rt_sigreturn:
        return sigreturn_call(thread, registers);
    case SYS_arch_prctl:
        return arch_prctl_call(thread, a);
    default:
        return raw(number, a);
    }
}

long call_handle(struct thread *thread, uint64_t number, const uint64_t a[6], struct registers *registers)
{
    if (number >= CALL_COUNT)
        return raw(number, a);
    const struct call_row *row = &call_table[number];
    trace_call(thread, number);
    if (thread->sandbox && (row->place == CALL_EMULATED || row->place == CALL_THREAD || row->place == CALL_REFUSED) &&
        !sandbox_allows(thread, number, a, registers ? registers->g[REG_RIP] : 0))
        return raw(number, a);
    if (sandbox_is(number, a))
        return sandbox_call(thread, number, a);
    if (row->place == CALL_REFUSED)
        return -(long)row->error;
    if (row->place == CALL_THREAD)
        return thread_call(thread, number, a, registers);
    if (number == SYS_rt_sigtimedwait)
        return signal_call_wait(thread, a);
    if (classes_home()[number] == CLASS_FD && descriptor_is_ours((unsigned)a[0]))
        return -EBADF;
    if (signal_call_opens(thread, number, a))
        return signal_call_opening(thread, number, a);
    if (timed_call_is(number, a))
        return timed_call(thread, number, a);
    if (number == SYS_futex)
        return futex_call(a);
    if (direct_read_is(number))
        return direct_read(number, a);
    if (number == SYS_io_setup || number == SYS_io_uring_setup || number == SYS_io_uring_register)
        pager_guard();
    if (row->place != CALL_EMULATED)
        return raw(number, a);
    bool handled = false;
    long result = memory_call((unsigned)number, a, &handled);
    if (handled)
        return result;
    switch (number) {
    case SYS_ptrace:
        return a[0] == 0 /* PTRACE_TRACEME */ ? trace_me(thread) : raw(number, a);
    case SYS_unshare:
    case SYS_setns:
        return session_call_alone(number, a);
    case SYS_restart_syscall:
        return timed_call_again(thread, a);
    case SYS_open:
    case SYS_openat:
    case SYS_openat2:
        return open_call(number, a);
    case SYS_getdents:
    case SYS_getdents64:
        return entries_read(thread, number, a);
    case SYS_readlink:
    case SYS_readlinkat:
        return readlink_call(number, a);
    case SYS_stat:
    case SYS_lstat:
    case SYS_newfstatat:
    case SYS_statx:
        return stat_call(number, a);
    case SYS_close:
        return fdguard_close((unsigned)a[0]);
    case SYS_close_range:
        return fdguard_close_range((unsigned)a[0], (unsigned)a[1], (unsigned)a[2]);
    case SYS_dup2:
    case SYS_dup3:
        return descriptor_is_ours((unsigned)a[1]) ? -EBADF : raw(number, a);
    case SYS_rt_sigaction:
        return signal_call_action((int)a[0], a[1], a[2], a[3]);
    case SYS_rt_sigprocmask:
        return signal_call_procmask((int)a[0], a[1], a[2], a[3]);
    case SYS_rt_sigpending:
        return signal_call_pending(thread, a[0], a[1]);
    case SYS_sigaltstack:
        return signal_call_altstack(thread, a[0], a[1], registers ? registers->g[REG_RSP] : 0);
    case SYS_set_tid_address:
        thread->clear_tid = a[0];
        return thread->foreign ? raw(number, a) : thread->tid;
    case SYS_set_robust_list:
        if (a[1] != 24)
            return -EINVAL;
        thread->robust_list = a[0];
        return raw(number, a);
    case SYS_sched_getaffinity:
    case SYS_sched_setaffinity:
        return affinity_call(thread, number, a);
    case SYS_prctl:
        if (a[0] == PR_GET_TID_ADDRESS) /* the kernel's is ours */
            return user_copy((void *)a[1], &thread->clear_tid, sizeof thread->clear_tid) ? -EFAULT : 0;
        return a[0] == PR_SET_SYSCALL_USER_DISPATCH ? -EINVAL : raw(number, a);
    case SYS_exit:
        process_exit_thread(thread, (int)a[0]);
    case SYS_exit_group:
        process_exit((int)a[0]);
    default:
        return raw(number, a);
    }
}

/* ---- from the crossing
 * ------------------------------------------------------------------------------------------------ */

long call_cut(const struct thread *thread, uint64_t number, long result)
{
    bool asked = atomic_load(&thread->pending) == PENDING_MOVE;
    return result == -EINTR && asked && number != SYS_close ? RESULT_RESTART_NOHAND : result;
}

void call_slow(struct registers *registers)
{
    struct thread *thread = thread_self();
    if (active_is_peer()) {
        active_call(thread, registers);
        return;
    }
    uint64_t number = (uint32_t)registers->g[REG_RAX]; /* as the kernel takes it */
    const uint64_t arguments[6] = {registers->g[REG_RDI], registers->g[REG_RSI], registers->g[REG_RDX],
                                   registers->g[REG_R10], registers->g[REG_R8],  registers->g[REG_R9]};
    long result = thread->restart; /* set when a direct call was cut short */
    if (!result) {
        thread->calls_local++;
        result = call_cut(thread, number, call_handle(thread, number, arguments, registers));
    }
    registers->g[REG_RAX] = (uint64_t)result;
    if (!RESULT_IS_RESTART(result))
        return;
    thread->restart = result;
    thread->restart_call = number;
    if (!(atomic_load(&thread->pending) & PENDING_SIGNAL))
        signal_restart(thread, registers);
}

bool call_pending_context(struct thread *thread, struct registers *registers)
{
    if (active_is_peer())
        active_go_home(thread, registers);
    session_stop_at_end();
    bool handled = false;
    if (atomic_load(&thread->pending) & PENDING_SIGNAL)
        handled = signal_deliver(thread, registers);
    signal_restart(thread, registers);
    atomic_fetch_and(&thread->pending, ~PENDING_MOVE);
    return handled;
}

void call_pending(struct registers *registers)
{
    struct thread *thread = thread_self();
    if (active_is_peer())
        active_go_home(thread, registers);
    session_stop_at_end();
    if (atomic_load(&thread->pending) & PENDING_SIGNAL)
        signal_deliver(thread, registers);
    signal_restart(thread, registers);
    if (atomic_load(&thread->pending) & PENDING_MOVE)
        shadow_depart_call(thread, registers);
}

uint64_t call_restart_address(uint64_t return_address, bool *by_int_80)
{
    uint8_t bytes[2] = {0};
    return_address = patch_translate_return(return_address);
    int fault = user_copy(bytes, (const void *)(return_address - 2), 2);
    *by_int_80 = fault == 0 && bytes[0] == 0xcd && bytes[1] == 0x80;
    if (*by_int_80 || (fault == 0 && bytes[0] == 0x0f && bytes[1] == 0x05))
        return return_address - 2;
    return return_address - PATCH_STUB_PREAMBLE;
}

/* ---- counters
 * ---------------------------------------------------------------------------------------------------------- */

static bool count_one(struct thread *thread, void *sum)
{
    *(uint64_t *)sum += thread->calls_local;
    return true;
}

void call_counters(uint64_t *local, uint64_t *forwarded, uint64_t latency[WIRE_LATENCY_BUCKETS])
{
    *local = 0;
    thread_each(count_one, local);
    *forwarded = call_forwarded(latency);
}
