/*
 * The crossing from the program into the monitor: what assembly and C share.
 * Not for deciding what a call does (monitor/calls.c) nor for signals (monitor/signal.c).
 */
#ifndef SYSCALL_ENTRY_H
#define SYSCALL_ENTRY_H

/* What the entry does with a call number, struct thread.classes. */
#define CLASS_DIRECT 0     /* the kernel's, at once */
#define CLASS_SLOW   1     /* full crossing into call_slow */
#define CLASS_COUNT  65536 /* entries of a class table */
#define CLASS_PATH0  2     /* direct, unless the path in the first argument starts with /p or /s (proc, sys) */
#define CLASS_PATH1  3     /* the same for the second argument */
#define CLASS_FD     4     /* direct, unless the descriptor in the first argument is one of ours */
#define CLASS_FUTEX  5     /* direct, unless the kernel writes the word in the operation of the second argument */
#define CLASS_READ                                                                                                     \
    6 /* direct, unless address and size (arguments 1 and 2) are whole sectors: it may pass the page cache */

#define CLASS_ARGUMENT3 7 /* direct, unless the fourth argument is given: a mask */
#define CLASS_ARGUMENT4 8 /* the fifth */
#define CLASS_ARGUMENT5 9 /* the sixth */

/* struct registers: offsets of the general registers, in the order of <sys/ucontext.h>. */
#define REGISTERS_R8    0
#define REGISTERS_R9    8
#define REGISTERS_R10   16
#define REGISTERS_R11   24
#define REGISTERS_R12   32
#define REGISTERS_R13   40
#define REGISTERS_R14   48
#define REGISTERS_R15   56
#define REGISTERS_RDI   64
#define REGISTERS_RSI   72
#define REGISTERS_RBP   80
#define REGISTERS_RBX   88
#define REGISTERS_RDX   96
#define REGISTERS_RAX   104
#define REGISTERS_RCX   112
#define REGISTERS_RSP   120
#define REGISTERS_RIP   128
#define REGISTERS_EFL   136
#define REGISTERS_BYTES 144

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct thread;

/* General registers of the program; indices as REG_R8 .. REG_EFL of <sys/ucontext.h>. */
struct registers {
    uint64_t g[18];
};

/* Kernel-internal results of an interrupted call, never seen by the program. */
#define RESULT_RESTART_SYS       (-512L) /* begun and interrupted: EINTR, or again with SA_RESTART */
#define RESULT_RESTART_NOINT     (-513L) /* not begun: always again */
#define RESULT_RESTART_NOHAND    (-514L) /* cut short: EINTR when a handler runs, or again */
#define RESULT_RESTART_WAIT      (-516L) /* the same, again as restart_syscall with the time that is left */
#define RESULT_IS_RESTART(value) ((value) <= RESULT_RESTART_SYS && (value) >= RESULT_RESTART_WAIT)

/* Where stubs and dispatched calls enter: RAX number, RCX return address, all else the program's. */
void syscall_entry(void);

/*
 * Issues a call from the monitor for the program. Cut short when a signal is pending or arrives before or in it:
 * RESULT_RESTART_*. Monitor domain.
 */
long syscall_interruptible(long number, const uint64_t arguments[6]);
/* Goes to the program with the registers given (on the monitor stack, kept until then). The exit path. */
_Noreturn void syscall_leave(struct registers *registers);
/* rt_sigreturn with a frame in the monitor's memory, after setting the FS base; all signals are blocked before. */
_Noreturn void context_enter(void *frame, uint64_t fs_base);
/* Runs `function(argument)` on the stack whose top is `stack`; never returns. */
_Noreturn void stack_run(void *stack, void (*function)(void *), void *argument);

/* Restores a vector state saved at entry and saves it in standard format. Areas 64-byte aligned. */
void xstate_convert(const void *compact, void *standard, uint64_t features);

/* Copies between the program's memory and ours: bytes not copied because the program's memory faulted. */
size_t user_copy(void *to, const void *from, size_t size);
/* Atomically compares and swaps a word of the program: 0, or -EFAULT; `*seen` is what was there. */
long user_compare_exchange(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *seen);

/* Labels for the signal handlers: instruction pointers inside these have to be moved. */
extern const char entry_text_start[], entry_text_end[];
extern const char entry_probe0[], entry_probe0_path1[], entry_probe1[], entry_probe1_path1[], entry_direct[],
    other_direct[];
extern const char direct_check[], direct_call[], direct_after[], direct_abort[];
extern const char gadget_check[], gadget_call[], gadget_after[], gadget_abort[];
extern const char entry_switch[], entry_switch_end[], leave_start[], leave_end[];
extern const char user_copy_start[], user_copy_end[], user_copy_fault[];
extern const char user_exchange_start[], user_exchange_end[], user_exchange_fault[];

/* Signal entry: calls signal_dispatch, and unless that was all, in the monitor domain signal_handle. */
void signal_entry(int signal, void *info, void *context);
void signal_restorer(void);
/* Where a changed signal frame goes to run `function(argument)` (RSI, RDI) in the monitor domain. */
void monitor_enter(void);
#endif

#endif
