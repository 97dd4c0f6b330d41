/*
 * The system call table itself: syscall/table.def turned into an array, and what its words mean.
 * Not for handlers or for deciding what the entry does with a number (monitor/calls.c).
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/kexec.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <utime.h>

#include "syscall/numbers.h"
#include "syscall/table.h"

/* Bytes of what a row points to, where the kernel's structure is the libc's or has no header here.
 */
enum {
    LONG_BYTES = sizeof(long),
    OFFSET_BYTES = sizeof(off_t),
    INTEGER = sizeof(int),
    TID = sizeof(pid_t),
    DESCRIPTOR_PAIR = 2 * sizeof(int),
    SOCKLEN = sizeof(socklen_t),
    STAT = sizeof(struct stat),
    STATX = sizeof(struct statx),
    STATFS = sizeof(struct statfs),
    USTAT = 32,
    UTIMBUF = sizeof(struct utimbuf),
    POLLFD = sizeof(struct pollfd),
    EPOLL_EVENT = sizeof(struct epoll_event),
    MMSGHDR = sizeof(struct mmsghdr),
    TIMEVAL = sizeof(struct timeval),
    TIMEVAL_PAIR = 2 * sizeof(struct timeval),
    TIMEZONE = sizeof(struct timezone),
    TIMESPEC = sizeof(struct timespec),
    TIMESPEC_PAIR = 2 * sizeof(struct timespec),
    ITIMERVAL = sizeof(struct itimerval),
    ITIMERSPEC = sizeof(struct itimerspec),
    TIMEX = sizeof(struct timex),
    TMS = sizeof(struct tms),
    RLIMIT = sizeof(struct rlimit),
    RUSAGE = sizeof(struct rusage),
    UTSNAME = sizeof(struct utsname),
    SYSINFO = sizeof(struct sysinfo),
    SIGACTION = 32,
    SIGINFO = sizeof(siginfo_t),
    SIGEVENT = sizeof(struct sigevent),
    SIGMASK_AND_SIZE = 16,
    STACK = sizeof(stack_t),
    SEMBUF = sizeof(struct sembuf),
    SHMID_DS = sizeof(struct shmid_ds),
    MSQID_DS = sizeof(struct msqid_ds),
    MQ_ATTR = sizeof(struct mq_attr),
    CAPABILITY_HEADER = sizeof(struct __user_cap_header_struct),
    CAPABILITY_DATA = 2 * sizeof(struct __user_cap_data_struct),
    IOCB = sizeof(struct iocb),
    IO_EVENT = sizeof(struct io_event),
    IO_URING_PARAMS = sizeof(struct io_uring_params),
    KEXEC_SEGMENT = sizeof(struct kexec_segment),
    FUTEX_WAITV = sizeof(struct futex_waitv),
    FUTEX_WAITV_PAIR = 2 * sizeof(struct futex_waitv),
    CACHESTAT_RANGE = 16,
    CACHESTAT = 40,
    MNT_ID_REQ = 24,
};

#define CLOCKS      "the session has one clock, home's; the vDSO tells most of it without a call"
#define CREATES     "copies the thread, which has to be whole and at home"
#define DESCRIPTORS "descriptors are home's"
#define FILES       "the file system is home's"
#define FUTEXES     "all threads wait and wake in one place, home"
#define GUARD       "the loader's own descriptors do not exist for the program"
#define HANDLERS    "every signal is caught by us first and delivered to the thread where it runs"
#define IDENTITY    "identity and credentials are those of the kernel thread at home"
#define IO_URING    "its rings are shared memory, pinned to home"
#define LIMITS      "limits are those of the process at home"
#define LOCKING     "locks what home holds; it changes no contents"
#define MACHINE     "the machine is home's"
#define MAPPINGS    "changes the address space that all nodes share"
#define MASKS       "signals that we caught and hold for the thread count as pending"
#define NEVER       "no Linux kernel implements it"
#define NUMA        "places memory among the processors of home only"
#define ONLY_32     "exists for 32-bit programs only"
#define OTHERS      "sees memory as it is at home"
#define PORTS       "a thread that touches a port elsewhere faults and comes home"
#define PROBES      "works only inside a trampoline of the kernel's, answered as outside one"
#define PROCESSES   "processes are home's"
#define PROCESSORS  "the program sees the processors of all nodes"
#define REMOVED     "removed from the kernel"
#define SCHEDULING  "of the kernel thread at home"
#define SEGMENTS    "descriptors exist at home; a thread without one faults and comes home"
#define SIGNALS     "signals are sent to kernel threads, which are home's"
#define SLEEPS      "a signal, which arrives at home, has to cut it short"
#define SYSTEM_V    "System V objects are home's"
#define TIMERS      "timers send signals, which are home's"
#define USAGE       "counts what was done at home"
#define VIEW        "paths in /proc and /sys name the program and the processors of the session"

#define PLACE_HERE            CALL_HERE, 0
#define PLACE_HOME            CALL_HOME, 0
#define PLACE_EMULATED        CALL_EMULATED, 0
#define PLACE_THREAD          CALL_THREAD, 0
#define PLACE_REFUSED(number) CALL_REFUSED, number

/* Initialisers: the braces keep the commas together on their way through the macros below. */
#define LIST(...)                                                                                                      \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* What an argument is (TYPE_) and how much it points to (EXTENT_), for each word of table.def. */
#define TYPE_INT               ARG_INT
#define TYPE_UINT              ARG_UINT
#define TYPE_LONG              ARG_LONG
#define TYPE_ULONG             ARG_LONG
#define TYPE_SIZE              ARG_SIZE
#define TYPE_FLAGS             ARG_FLAGS
#define TYPE_MODE              ARG_MODE
#define TYPE_OFFSET            ARG_OFFSET
#define TYPE_FD                ARG_FD
#define TYPE_DIRFD             ARG_DIRFD
#define TYPE_PID               ARG_PID
#define TYPE_SIGNAL            ARG_SIGNAL
#define TYPE_ADDRESS           ARG_ADDRESS
#define TYPE_PATH              ARG_PATH
#define TYPE_STRING            ARG_STRING
#define TYPE_STRING_VECTOR     ARG_STRING_VECTOR
#define TYPE_MESSAGE_IN        ARG_MESSAGE_IN
#define TYPE_MESSAGE_OUT       ARG_MESSAGE_OUT
#define TYPE_FUTEX             ARG_FUTEX
#define TYPE_OPAQUE            ARG_OPAQUE
#define TYPE_IN(b)             ARG_IN
#define TYPE_IN_BYTES(i)       ARG_IN
#define TYPE_IN_ITEMS(i, b)    ARG_IN
#define TYPE_OUT(b)            ARG_OUT
#define TYPE_OUT_BYTES(i)      ARG_OUT
#define TYPE_OUT_ITEMS(i, b)   ARG_OUT
#define TYPE_OUT_SOCKLEN(i)    ARG_OUT
#define TYPE_INOUT(b)          ARG_INOUT
#define TYPE_INOUT_BYTES(i)    ARG_INOUT
#define TYPE_INOUT_ITEMS(i, b) ARG_INOUT
#define TYPE_IOVEC_IN(i)       ARG_IOVEC_IN
#define TYPE_IOVEC_OUT(i)      ARG_IOVEC_OUT

#define NO_EXTENT                LIST(-1, 0)
#define EXTENT_INT               NO_EXTENT
#define EXTENT_UINT              NO_EXTENT
#define EXTENT_LONG              NO_EXTENT
#define EXTENT_ULONG             NO_EXTENT
#define EXTENT_SIZE              NO_EXTENT
#define EXTENT_FLAGS             NO_EXTENT
#define EXTENT_MODE              NO_EXTENT
#define EXTENT_OFFSET            NO_EXTENT
#define EXTENT_FD                NO_EXTENT
#define EXTENT_DIRFD             NO_EXTENT
#define EXTENT_PID               NO_EXTENT
#define EXTENT_SIGNAL            NO_EXTENT
#define EXTENT_ADDRESS           NO_EXTENT
#define EXTENT_PATH              NO_EXTENT
#define EXTENT_STRING            NO_EXTENT
#define EXTENT_STRING_VECTOR     NO_EXTENT
#define EXTENT_MESSAGE_IN        LIST(-1, sizeof(struct msghdr))
#define EXTENT_MESSAGE_OUT       LIST(-1, sizeof(struct msghdr))
#define EXTENT_FUTEX             LIST(-1, sizeof(int))
#define EXTENT_OPAQUE            NO_EXTENT
#define EXTENT_IN(b)             LIST(-1, b)
#define EXTENT_IN_BYTES(i)       LIST(i, 1)
#define EXTENT_IN_ITEMS(i, b)    LIST(i, b)
#define EXTENT_OUT(b)            LIST(-1, b)
#define EXTENT_OUT_BYTES(i)      LIST(i, 1)
#define EXTENT_OUT_ITEMS(i, b)   LIST(i, b)
#define EXTENT_OUT_SOCKLEN(i)    LIST(-2, i)
#define EXTENT_INOUT(b)          LIST(-1, b)
#define EXTENT_INOUT_BYTES(i)    LIST(i, 1)
#define EXTENT_INOUT_ITEMS(i, b) LIST(i, b)
#define EXTENT_IOVEC_IN(i)       LIST(i, sizeof(struct iovec))
#define EXTENT_IOVEC_OUT(i)      LIST(i, sizeof(struct iovec))

#define ROW(name, place, count, types, extents, why) [__NR_##name] = {#name, place, count, types, extents, why},
#define CALL0(name, place, why)                      ROW(name, PLACE_##place, 0, LIST(ARG_NONE), LIST(NO_EXTENT), why)
#define CALL1(name, place, a, why)                   ROW(name, PLACE_##place, 1, LIST(TYPE_##a), LIST(EXTENT_##a), why)
#define CALL2(name, place, a, b, why)                                                                                  \
    ROW(name, PLACE_##place, 2, LIST(TYPE_##a, TYPE_##b), LIST(EXTENT_##a, EXTENT_##b), why)
#define CALL3(name, place, a, b, c, why)                                                                               \
    ROW(name, PLACE_##place, 3, LIST(TYPE_##a, TYPE_##b, TYPE_##c), LIST(EXTENT_##a, EXTENT_##b, EXTENT_##c), why)
#define CALL4(name, place, a, b, c, d, why)                                                                            \
    ROW(name, PLACE_##place, 4, LIST(TYPE_##a, TYPE_##b, TYPE_##c, TYPE_##d),                                          \
        LIST(EXTENT_##a, EXTENT_##b, EXTENT_##c, EXTENT_##d), why)
#define CALL5(name, place, a, b, c, d, e, why)                                                                         \
    ROW(name, PLACE_##place, 5, LIST(TYPE_##a, TYPE_##b, TYPE_##c, TYPE_##d, TYPE_##e),                                \
        LIST(EXTENT_##a, EXTENT_##b, EXTENT_##c, EXTENT_##d, EXTENT_##e), why)
#define CALL6(name, place, a, b, c, d, e, f, why)                                                                      \
    ROW(name, PLACE_##place, 6, LIST(TYPE_##a, TYPE_##b, TYPE_##c, TYPE_##d, TYPE_##e, TYPE_##f),                      \
        LIST(EXTENT_##a, EXTENT_##b, EXTENT_##c, EXTENT_##d, EXTENT_##e, EXTENT_##f), why)

#define GAP                                                                                                            \
    {                                                                                                                  \
        .place = CALL_UNKNOWN, .error = ENOSYS, .why = "no such call"                                                  \
    }

const struct call_row call_table[CALL_COUNT] = {
#include "syscall/table.def"
    [__NR_uprobe + 1 ... __NR_pidfd_send_signal - 1] = GAP,
    [__NR_file_setattr + 1 ... CALL_COUNT - 1] = GAP,
};
