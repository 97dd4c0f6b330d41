/*
 * Threads of the program: their memory, their binding to kernel threads, the registry.
 * Not for what they do.
 */
#include "monitor/thread.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/clock.h"
#include "monitor/fdguard.h"
#include "monitor/fatal.h"
#include "monitor/signal.h"

#define CHECK_OFFSET(field, offset)                                                                                    \
    _Static_assert(offsetof(struct thread, field) == (offset), "thread_offsets.h and thread.h disagree")
CHECK_OFFSET(self, THREAD_SELF);
CHECK_OFFSET(entry, THREAD_ENTRY);
CHECK_OFFSET(app_rsp, THREAD_APP_RSP);
CHECK_OFFSET(monitor_rsp, THREAD_MONITOR_RSP);
CHECK_OFFSET(app_fs, THREAD_APP_FS);
CHECK_OFFSET(monitor_fs, THREAD_MONITOR_FS);
CHECK_OFFSET(return_address, THREAD_RETURN);
CHECK_OFFSET(classes, THREAD_CLASSES);
CHECK_OFFSET(xsave, THREAD_XSAVE);
CHECK_OFFSET(xfeatures, THREAD_XFEATURES);
CHECK_OFFSET(pending, THREAD_PENDING);
CHECK_OFFSET(fsgsbase, THREAD_FSGSBASE);
CHECK_OFFSET(in_monitor, THREAD_IN_MONITOR);
CHECK_OFFSET(quick, THREAD_QUICK);
CHECK_OFFSET(leaving, THREAD_LEAVING);
CHECK_OFFSET(fd_floor, THREAD_FD_FLOOR);
CHECK_OFFSET(clock_gettime, THREAD_CLOCK_GETTIME);
CHECK_OFFSET(gettimeofday, THREAD_GETTIMEOFDAY);
CHECK_OFFSET(time, THREAD_TIME);
CHECK_OFFSET(clock_getres, THREAD_CLOCK_GETRES);
CHECK_OFFSET(getcpu, THREAD_GETCPU);
CHECK_OFFSET(calls_local, THREAD_CALLS);
CHECK_OFFSET(entry_number, THREAD_NUMBER);
CHECK_OFFSET(entry_flags, THREAD_FLAGS);

/* Of glibc, for programs that make their own threads: the TLS block of a new thread. */
extern void *_dl_allocate_tls(void *memory);
extern void __ctype_init(void);

#define AREA_BYTES        (24u * 1024u) /* one XSAVE area, its frame or context around it; or a message */
#define THREAD_AREA_BYTES (16u * 1024u) /* struct thread itself */
#define GUARD_BYTES       4096u
#define MEMORY_BYTES      (GUARD_BYTES + MONITOR_STACK_BYTES + ALTERNATE_STACK_BYTES + THREAD_AREA_BYTES + 3 * AREA_BYTES)

_Static_assert(sizeof(struct thread) <= THREAD_AREA_BYTES, "struct thread fits its area");
_Static_assert(WIRE_XSAVE_BYTES_MAX + 1024 <= AREA_BYTES, "an area holds a context or a frame");
_Static_assert(WIRE_BUFFERS_BYTES + 1024 <= AREA_BYTES, "an area holds a call with its buffers");

#define HWCAP2_FSGSBASE_BIT 2u

static bool fsgsbase; /* else arch_prctl sets the bases: a kernel that does not know would lose them at a switch */
static uint64_t xfeatures;
static uint32_t xsave_bytes;
static size_t tid_offset; /* of the kernel thread id in glibc's thread structure, 0: not found */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread *live;
static unsigned live_count;
static struct thread *pool;
static uint32_t last_number;

uint64_t thread_xfeatures(void)
{
    return xfeatures;
}

uint32_t thread_xsave_bytes(void)
{
    return xsave_bytes;
}

/* The standard format puts each component at a fixed offset; tile data needs a permission nobody has asked for. */
static void vector_state_learn(void)
{
    unsigned a, b, c, d;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    xfeatures = (((uint64_t)high << 32) | low) & ~((1ul << 17) | (1ul << 18));
    xsave_bytes = 512 + 64;
    for (unsigned i = 2; i < 63; i++) {
        if (!(xfeatures & (1ul << i)))
            continue;
        __cpuid_count(0xd, i, a, b, c, d);
        if (a + b > xsave_bytes)
            xsave_bytes = a + b;
    }
}

bool thread_initialise(char why[WIRE_MESSAGE_BYTES])
{
    unsigned a, b, c, d;
    fsgsbase = !!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT);
    __cpuid_count(0xd, 1, a, b, c, d);
    if (!(a & 2)) {
        snprintf(why, WIRE_MESSAGE_BYTES, "the processor lacks XSAVEC (needs one of 2015 or later)");
        return false;
    }
    vector_state_learn();
    SPAN_ASSERT(xsave_bytes <= WIRE_XSAVE_BYTES_MAX);
    const int32_t *self = (const int32_t *)pthread_self();
    int32_t tid = (int32_t)syscall(SYS_gettid);
    for (size_t i = 128; i < 256; i++)
        if (self[i] == tid) {
            tid_offset = i * sizeof(int32_t);
            break;
        }
    return true;
}

static void areas_set(struct thread *thread)
{
    uint8_t *area = (uint8_t *)thread + THREAD_AREA_BYTES;
    thread->xsave = area;
    thread->context = (struct wire_context *)(area + AREA_BYTES);
    thread->frame = area + 2 * AREA_BYTES;
    thread->self = thread;
    thread->entry = syscall_entry;
    thread->xfeatures = xfeatures;
    thread->fsgsbase = fsgsbase;
    thread->in_monitor = 1;
    thread->fd_floor = fdguard_floor();
    const struct clock_functions *clock = clock_functions();
    thread->clock_gettime = clock->clock_gettime;
    thread->gettimeofday = clock->gettimeofday;
    thread->time = clock->time;
    thread->clock_getres = clock->clock_getres;
    thread->getcpu = clock->getcpu;
    thread->target = -1;
}

static struct thread *memory_new(void)
{
    uint8_t *memory =
        mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    SPAN_ASSERT((uint64_t)memory >= SPAN_ZONE_END);
    mprotect(memory, GUARD_BYTES, PROT_NONE);
    struct thread *thread = (struct thread *)(memory + GUARD_BYTES + MONITOR_STACK_BYTES + ALTERNATE_STACK_BYTES);
    thread->memory = memory;
    thread->monitor_rsp = (uint64_t)(memory + GUARD_BYTES + MONITOR_STACK_BYTES);
    areas_set(thread);
    return thread;
}

/* A TLS block of glibc's for a kernel thread that glibc does not know. */
static void *tls_new(void)
{
    void **block = _dl_allocate_tls(NULL);
    if (!block)
        return NULL;
    void **self = (void **)pthread_self();
    block[0] = block;   /* tcb */
    block[2] = block;   /* self */
    block[5] = self[5]; /* stack guard */
    block[6] = self[6]; /* pointer guard */
    return block;
}

struct thread *thread_allocate(void)
{
    pthread_mutex_lock(&lock);
    struct thread **link = &pool;
    while (*link && atomic_load(&(*link)->kernel_alive))
        link = &(*link)->free_next;
    struct thread *thread = *link;
    if (thread)
        *link = thread->free_next;
    uint32_t number = ++last_number;
    pthread_mutex_unlock(&lock);
    if (thread) {
        uint8_t *memory = thread->memory;
        void *tls = thread->monitor_tls;
        uint64_t rsp = thread->monitor_rsp;
        memset(thread, 0, sizeof *thread);
        thread->memory = memory;
        thread->monitor_tls = tls;
        thread->monitor_rsp = rsp;
        areas_set(thread);
    } else {
        thread = memory_new();
        if (!thread)
            return NULL;
        thread->monitor_tls = tls_new();
        if (!thread->monitor_tls) {
            munmap(thread->memory, MEMORY_BYTES);
            return NULL;
        }
    }
    thread->monitor_fs = (uint64_t)thread->monitor_tls;
    thread->number = number;
    return thread;
}

void thread_release(struct thread *thread)
{
    pthread_mutex_lock(&lock);
    thread->free_next = pool;
    pool = thread;
    pthread_mutex_unlock(&lock);
}

struct thread *thread_adopt(void)
{
    struct thread *thread = memory_new();
    if (!thread)
        return NULL;
    thread->monitor_tls = (void *)pthread_self();
    thread->monitor_fs = (uint64_t)thread->monitor_tls;
    thread->number = ++last_number;
    return thread;
}

void thread_bind(struct thread *thread)
{
    if (thread->fsgsbase)
        __asm__ volatile("wrgsbase %0" : : "r"(thread));
    else
        syscall(SYS_arch_prctl, ARCH_SET_GS, thread);
    stack_t stack = {.ss_sp = (uint8_t *)thread - ALTERNATE_STACK_BYTES, .ss_size = ALTERNATE_STACK_BYTES};
    SPAN_ASSERT(sigaltstack(&stack, NULL) == 0);
}

void thread_arm(void)
{
    extern const char __executable_start[], etext[];
    long result =
        prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, __executable_start, etext - __executable_start, 0);
    if (result != 0)
        span_fatal("syscall user dispatch: %s (needs Linux 5.11 or later)", strerror(errno));
}

void thread_register(struct thread *thread)
{
    pthread_mutex_lock(&lock);
    thread->next = live;
    thread->previous = NULL;
    if (live)
        live->previous = thread;
    live = thread;
    live_count++;
    pthread_mutex_unlock(&lock);
}

unsigned thread_unregister(struct thread *thread)
{
    pthread_mutex_lock(&lock);
    if (thread->previous)
        thread->previous->next = thread->next;
    else
        live = thread->next;
    if (thread->next)
        thread->next->previous = thread->previous;
    unsigned left = --live_count;
    pthread_mutex_unlock(&lock);
    return left;
}

unsigned thread_count(void)
{
    return __atomic_load_n(&live_count, __ATOMIC_ACQUIRE);
}

void thread_each(bool (*visit)(struct thread *thread, void *context), void *context)
{
    pthread_mutex_lock(&lock);
    for (struct thread *thread = live; thread && visit(thread, context); thread = thread->next)
        ;
    pthread_mutex_unlock(&lock);
}

void thread_fork_child(struct thread *self)
{
    pthread_mutex_init(&lock, NULL);
    /* The other threads exist only as memory; it is theirs no more, but their TLS holds nothing of ours: leave it. */
    live = self;
    live_count = 1;
    pool = NULL;
    self->next = self->previous = NULL;
}

static void clone_begin(void *argument)
{
    struct thread *thread = argument;
    /* glibc compares owners of its locks by this number; 0 would look like nobody. */
    if (tid_offset)
        *(int32_t *)((uint8_t *)thread->monitor_tls + tid_offset) = (int32_t)syscall(SYS_gettid);
    __ctype_init();
    void (*function)(struct thread *) = (void (*)(struct thread *))thread->return_address;
    thread_bind(thread);
    function(thread);
    span_fatal("a thread of the monitor returned");
}

long thread_clone(struct thread *thread, uint64_t flags, int *parent_tid, int *child_tid,
                  void (*function)(struct thread *))
{
    __libc_single_threaded = 0;
    thread->return_address = (uint64_t)function;
    flags |= CLONE_SETTLS;
    /* The child starts on an empty stack: everything it needs is in registers across the call. */
    long result;
    register int *r10 __asm__("r10") = child_tid;
    register void *r8 __asm__("r8") = thread->monitor_tls;
    register void (*begin)(void *) __asm__("r12") = clone_begin;
    register struct thread *argument __asm__("r13") = thread;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r13, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(result)
                     : "0"(SYS_clone), "D"(flags), "S"(thread->monitor_rsp), "d"(parent_tid), "r"(r10), "r"(r8),
                       "r"(begin), "r"(argument)
                     : "rcx", "r11", "memory");
    return result;
}

uint64_t thread_block_signals(void)
{
    uint64_t all = ~SIGNALS_SYNCHRONOUS, old = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof all);
    return old;
}

void thread_set_mask(uint64_t mask)
{
    mask &= ~SIGNALS_SYNCHRONOUS;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}
