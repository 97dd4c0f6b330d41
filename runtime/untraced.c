/*
 * Our own threads escape a tracer that follows threads, strace -f or gdb in front of the session: it reads the
 * program's memory, and would wait for ever for a page that a thread fetches which it has stopped itself.
 *
 * The C library has no way to say so. All threads that it makes in our programs are ours; those of the program that
 * runs are made by thread_clone. So its own call is taken at the link (--wrap); that it still is, check-errors sees:
 * strace -f in front of three nodes would hang.
 */
#include <linux/sched.h>
#include <stddef.h>

struct clone_args;
int __real___clone_internal(struct clone_args *arguments, int (*function)(void *), void *argument);
int __wrap___clone_internal(struct clone_args *arguments, int (*function)(void *), void *argument);

int __wrap___clone_internal(struct clone_args *arguments, int (*function)(void *), void *argument)
{
    arguments->flags |= CLONE_UNTRACED;
    return __real___clone_internal(arguments, function, argument);
}
