/*
 * The look at home's state, proc(5), and threads that wait in a signal handler of ours.
 */
#include "monitor/suspend.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/fdguard.h"
#include "monitor/signal.h"
#include "monitor/thread.h"

static int file = -1;
static _Atomic uint32_t suspended;

void suspend_watch(pid_t home)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)home);
    file = fdguard_move(open(path, O_RDONLY | O_CLOEXEC));
}

bool suspend_watches(void)
{
    return file >= 0;
}

/* Stopped by a signal, not by a tracer, which looks at home alone and for a moment. */
static bool home_is_stopped(void)
{
    char text[256];
    ssize_t size = pread(file, text, sizeof text - 1, 0);
    if (size <= 0)
        return false;
    text[size] = 0;
    const char *name_end = strrchr(text, ')');
    return name_end != NULL && strncmp(name_end, ") T", 3) == 0;
}

/* One that was in a call is told again; not one that has its signals blocked, for they would queue. */
static bool tell_one(struct thread *thread, void *unused)
{
    (void)unused;
    if (__atomic_load_n(&thread->number, __ATOMIC_ACQUIRE) != 0 && !atomic_exchange(&thread->told_to_stand, true))
        signal_suspend(thread->tid);
    return true;
}

void suspend_look(void)
{
    if (home_is_stopped()) {
        atomic_store(&suspended, 1);
        thread_each(tell_one, NULL);
    } else if (atomic_exchange(&suspended, 0) != 0) {
        syscall(SYS_futex, &suspended, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

void suspend_here(struct thread *thread, bool in_program)
{
    while (in_program && atomic_load(&suspended) != 0)
        syscall(SYS_futex, &suspended, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    atomic_store(&thread->told_to_stand, false);
}
