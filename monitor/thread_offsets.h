/* Offsets in struct thread for assembly and for code that is the same on every node; thread.h asserts them. */
#ifndef MONITOR_THREAD_OFFSETS_H
#define MONITOR_THREAD_OFFSETS_H

#define THREAD_SELF        0 /* address of the structure: %gs:0 */
#define THREAD_ENTRY       8 /* syscall_entry, for stubs */
#define THREAD_APP_RSP     16
#define THREAD_MONITOR_RSP 24 /* top of the monitor stack of this thread */
#define THREAD_APP_FS      32
#define THREAD_MONITOR_FS  40
#define THREAD_RETURN      48  /* where a direct call returns to */
#define THREAD_CLASSES     56  /* uint8_t[65536]: CLASS_* by number */
#define THREAD_XSAVE       64  /* 64-byte aligned area for the program's vector state */
#define THREAD_XFEATURES   72  /* mask for xsave */
#define THREAD_PENDING     80  /* uint32_t: something to do before the program goes on */
#define THREAD_FSGSBASE    84  /* uint32_t: the kernel keeps what wrfsbase sets */
#define THREAD_QUICK       88  /* tried before a full crossing, with the registers; 0: none */
#define THREAD_LEAVING     96  /* struct registers * while the exit path runs */
#define THREAD_FD_FLOOR    104 /* uint32_t: descriptors from here on are ours */
#define THREAD_IN_MONITOR  108 /* uint32_t: 0 the program's code, else one of these */
#define THREAD_IN_DOMAIN   1   /* the FS base is the monitor's, or about to be */
#define THREAD_ON_STACK    2   /* on the monitor's stack with the program's FS base: no TLS in use */
/* The session's vDSO jumps through these. */
#define THREAD_CLOCK_GETTIME 112
#define THREAD_GETTIMEOFDAY  120
#define THREAD_TIME          128
#define THREAD_CLOCK_GETRES  136
#define THREAD_GETCPU        144
#define THREAD_NUMBER        160 /* call number; flags while the entry looks at an argument */
#define THREAD_FLAGS         168
#define THREAD_CALLS         152 /* uint64_t: calls carried out on this node */

#endif
