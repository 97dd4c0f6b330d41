/*
 * Threads of the program as the monitor sees them, on every node, and the pool their memory comes from.
 * Not for what they do: calls (monitor/calls.h), signals (monitor/signal.h), moving (monitor/shadow.h,
 * monitor/active.h).
 */
#ifndef MONITOR_THREAD_H
#define MONITOR_THREAD_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "monitor/thread_offsets.h"
#include "runtime/wire.h"
#include "syscall/entry.h"

struct channel;
struct process;
struct sandbox;

/* struct thread.pending */
#define PENDING_SIGNAL 1u /* signals wait in thread.signals */
#define PENDING_MOVE   2u /* home: go to thread.target; peer: go home */

/* What a thread is doing, for spanctl and the watchdog. */
enum thread_activity {
    THREAD_RUNS_HERE, /* the program's code, on this node */
    THREAD_SHADOWS,   /* its active half is on thread.node */
    THREAD_IN_CALL,   /* a call is being carried out here */
};

#define THREAD_SIGNALS_MAX  48
#define THREAD_SIGNALS_FREE 8 /* of those, for what the program does not block */

/* Where a thread was when it was asked (monitor/report.h). */
struct thread_report {
    _Atomic bool told;
    bool in_program;
    uint64_t arguments[6], registers[WIRE_REPORT_REGISTERS];
};

struct thread {
    struct thread *self;
    void (*entry)(void);
    uint64_t app_rsp, monitor_rsp, app_fs, monitor_fs, return_address;
    const uint8_t *classes;
    void *xsave;
    uint64_t xfeatures;
    _Atomic uint32_t pending;
    uint32_t fsgsbase;
    long (*quick)(struct registers *registers); /* 0: the call is done */
    struct registers *leaving;
    uint32_t fd_floor;
    uint32_t in_monitor;
    void *clock_gettime, *gettimeofday, *time, *clock_getres, *getcpu;
    uint64_t calls_local; /* carried out on this node */
    uint64_t entry_number, entry_flags;

    pid_t tid, pid;
    uint32_t number; /* in the session, 1.. */
    struct process *process;
    uint64_t mask;      /* the program's signal mask */
    uint64_t clear_tid; /* the program's clear_child_tid, 0: none */
    uint64_t robust_list;
    stack_t alternate; /* the program's alternate stack */

    unsigned signal_count;
    uint64_t signal_wanted; /* what ends the call in progress, though the program blocks it otherwise */
    long restart;           /* RESULT_RESTART_* of the call that is being left, or 0 */
    uint64_t restart_call;
    uint64_t wait_call,
        wait_end_ns; /* what restart_syscall goes on with, 0: nothing; until when, on that call's clock */

    unsigned node;           /* home: where its active half is */
    _Atomic int target;      /* home: node to move to, -1 none */
    _Atomic int activity;    /* enum thread_activity */
    _Atomic bool awaits;     /* home: in a call that waits for another thread to be where it was bound */
    struct channel *channel; /* to the other half */

    _Atomic int32_t kernel_alive; /* cleared by the kernel when the kernel thread is gone */
    void *monitor_tls;
    uint8_t *memory;              /* guard, monitor stack, alternate stack, this, areas */
    struct wire_context *context; /* one context with its XSAVE area, for moving */
    uint8_t *frame;               /* area in which context_resume builds its frame */
    bool foreign;                 /* another process in our memory (vfork, CLONE_VM without CLONE_THREAD) */
    bool traced;        /* it has asked its parent to trace it: what it executes runs natively, as the tracer expects */
    bool trace_pending; /* and the kernel has not been told yet */
    /* Of such a process that is not waited for, or a thread of it: who it is, and the signal actions of its maker. */
    pid_t stranger, stranger_group;
    struct process *parents;
    uint64_t set_tid;   /* CLONE_CHILD_SETTID: where the child writes its tid before it runs */
    void *exec_scratch; /* of an exec in a process that shares our memory: freed by the parent */
    size_t exec_scratch_bytes;
    struct thread *next, *previous; /* registry of live threads */
    struct thread *free_next;
    bool in_use;

    pid_t program_tid; /* peer: the thread's tid at home */
    int forward;       /* peer: enum channel_quick of the call that is being made */
    uint64_t forward_ns;
    struct wire_result forward_result;
    uint64_t fault_address; /* peer: of the last question about a mapping, and how often in a row */
    unsigned fault_repeats;
    uint64_t processors;         /* of this node that its kernel thread is bound to, 0: all; see wire_context */
    uint64_t processors_sent;    /* home: and where its active half went */
    struct wire_carried carried; /* what came with it */
    uint32_t arrived;            /* when: pager_recent_now */
    long entries_bytes;          /* home: of directory entries that stand in the program's buffer, for this call */
    struct thread_report report;
    _Atomic bool told_to_stand;    /* peer: to stand still while home is stopped, and it has not gone on since */
    const struct sandbox *sandbox; /* the seccomp filters of the program's that judge it, NULL: none */
    siginfo_t signals[THREAD_SIGNALS_MAX]; /* that wait, in order */
    bool signal_held[THREAD_SIGNALS_MAX];  /* not before the mask allows it */
};

static inline struct thread *thread_self(void)
{
    struct thread *thread;
    __asm__("mov %%gs:0, %0" : "=r"(thread));
    return thread;
}

#define MONITOR_STACK_BYTES   (256u * 1024u)
#define ALTERNATE_STACK_BYTES (64u * 1024u)

/* Once. Learns the vector state's size; false with a line in `why` when the processor or kernel is too old. */
bool thread_initialise(char why[WIRE_MESSAGE_BYTES]);
uint64_t thread_xfeatures(void);
uint32_t thread_xsave_bytes(void);

/* A structure with its memory and monitor TLS, from the pool or new; NULL: no memory. Sets number. */
struct thread *thread_allocate(void);
/* Back to the pool, once the kernel thread is gone (kernel_alive is 0) or never was. */
void thread_release(struct thread *thread);
/* The first thread of a process adopts the libc thread that runs it: same FS base. */
struct thread *thread_adopt(void);
/* Makes the calling kernel thread `thread`: GS base, alternate stack. Signals must be blocked. */
void thread_bind(struct thread *thread);
/* Syscall User Dispatch on for this kernel thread. */
void thread_arm(void);

/* The registry: live threads of this process. `visit` runs under the lock. */
void thread_register(struct thread *thread);
/* Returns how many are left. */
unsigned thread_unregister(struct thread *thread);
unsigned thread_count(void);
void thread_each(bool (*visit)(struct thread *thread, void *context), void *context);
/* In a fork child: only `self` is left. */
void thread_fork_child(struct thread *self);

/* Raw clone of a kernel thread on `thread`'s monitor stack running function(thread). The tid or negative errno. */
long thread_clone(struct thread *thread, uint64_t flags, int *parent_tid, int *child_tid,
                  void (*function)(struct thread *));

/* Blocks all signals but the synchronous ones; the kernel's mask before is returned. */
uint64_t thread_block_signals(void);
void thread_set_mask(uint64_t mask);

#endif
