/*
 * Prints docs/system-calls.md from the system call table. Not part of any program:
 * scripts/system-calls runs it.
 */
#include <stdio.h>
#include <string.h>

#include "syscall/table.h"

static const char *const places[] = {
    [CALL_HERE] = "here",     [CALL_HOME] = "home",       [CALL_EMULATED] = "emulated",
    [CALL_THREAD] = "thread", [CALL_REFUSED] = "refused", [CALL_UNKNOWN] = "unknown",
};

static const char *const arguments[] = {
    [ARG_NONE] = "-",
    [ARG_INT] = "int",
    [ARG_UINT] = "unsigned",
    [ARG_LONG] = "long",
    [ARG_SIZE] = "size",
    [ARG_FLAGS] = "flags",
    [ARG_MODE] = "mode",
    [ARG_OFFSET] = "offset",
    [ARG_FD] = "descriptor",
    [ARG_DIRFD] = "directory",
    [ARG_PID] = "pid",
    [ARG_SIGNAL] = "signal",
    [ARG_ADDRESS] = "address",
    [ARG_PATH] = "path",
    [ARG_STRING] = "string",
    [ARG_STRING_VECTOR] = "strings",
    [ARG_IN] = "in",
    [ARG_OUT] = "out",
    [ARG_INOUT] = "in-out",
    [ARG_IOVEC_IN] = "vectors in",
    [ARG_IOVEC_OUT] = "vectors out",
    [ARG_MESSAGE_IN] = "message in",
    [ARG_MESSAGE_OUT] = "message out",
    [ARG_FUTEX] = "futex",
    [ARG_OPAQUE] = "depends",
};

static const char introduction[] =
    "# System calls\n"
    "\n"
    "Every x86-64 system call of Linux up to 6.18, and what ld-span does with it. Made by `make "
    "docs` from\n"
    "`syscall/table.def`; edit that file, not this one.\n"
    "\n"
    "| place | a call is carried out |\n"
    "|---|---|\n"
    "| here | by the kernel of the node where the thread is active; it touches nothing that is "
    "shared |\n"
    "| home | by the kernel at home, unchanged; from a peer through the thread's shadow |\n"
    "| emulated | by a handler of ours at home; from a peer through the thread's shadow |\n"
    "| thread | on the thread itself: an active thread on a peer comes home first |\n"
    "| refused | not: the call fails with the error given |\n"
    "\n"
    "A number that is not below fails with ENOSYS, as it does in a kernel that does not know it.\n";

static void argument_print(const struct call_row *row, unsigned index)
{
    const struct call_size size = row->sizes[index];
    printf("%s%s", index > 0 ? ", " : "", arguments[row->arguments[index]]);
    switch (row->arguments[index]) {
    case ARG_IN:
    case ARG_OUT:
    case ARG_INOUT:
        if (size.argument == -1)
            printf(" %u", size.bytes);
        else if (size.argument == -2)
            printf(" \\*#%u", size.bytes);
        else if (size.bytes == 1)
            printf(" #%d", size.argument);
        else
            printf(" #%d × %u", size.argument, size.bytes);
        break;
    case ARG_IOVEC_IN:
    case ARG_IOVEC_OUT:
        printf(" #%d", size.argument);
        break;
    default:
        break;
    }
}

int main(void)
{
    unsigned totals[CALL_UNKNOWN + 1] = {0}, rows = 0;
    for (unsigned number = 0; number < CALL_COUNT; number++) {
        totals[call_table[number].place]++;
        rows += call_table[number].name != NULL;
    }
    fputs(introduction, stdout);
    printf("\nOf %u calls, %u are carried out here, %u at home, %u are emulated, %u work on the "
           "thread, and\n"
           "%u are refused.\n\n",
           rows, totals[CALL_HERE], totals[CALL_HOME], totals[CALL_EMULATED], totals[CALL_THREAD],
           totals[CALL_REFUSED]);
    puts("Arguments: *in*, *out* and *in-out* name memory that the kernel reads, writes or both, "
         "with its size in\n"
         "bytes; `#2` is the value of argument 2, counted from 0, and `\\*#2` what that argument "
         "points to.\n"
         "*depends* is an argument whose meaning depends on another one.\n");
    puts("| number | call | arguments | place | why |\n|---|---|---|---|---|");
    for (unsigned number = 0; number < CALL_COUNT; number++) {
        const struct call_row *row = &call_table[number];
        if (row->name == NULL)
            continue;
        printf("| %u | %s%s | ", number, row->name[0] == '_' ? "\\" : "", row->name);
        for (unsigned index = 0; index < row->count; index++)
            argument_print(row, index);
        printf(" | %s", places[row->place]);
        if (row->place == CALL_REFUSED)
            printf(": %s", strerrorname_np(row->error));
        printf(" | %s |\n", row->why);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
