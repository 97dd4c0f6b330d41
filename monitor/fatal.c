/*
 * Ends of the whole thing, and lines to the user.
 */
#include "monitor/fatal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int verbose;
static int kept = -1; /* the descriptor 2 that there was at the start */

static void line_write(const char *format, va_list arguments)
{
    char line[512];
    int length = snprintf(line, sizeof line, "ld-span: ");
    int more = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    if (more > 0)
        length += more;
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length) < 0 && errno == EBADF && kept >= 0 &&
        write(kept, line, (size_t)length) < 0)
        return; /* nobody to tell */
}

_Noreturn void span_fatal(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line_write(format, arguments);
    va_end(arguments);
    for (;;)
        syscall(SYS_exit_group, SPAN_EXIT_FAILURE);
}

void span_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line_write(format, arguments);
    va_end(arguments);
}

void span_verbose(const char *format, ...)
{
    if (!verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    line_write(format, arguments);
    va_end(arguments);
}

void span_stderr_keep(int fd)
{
    kept = fd;
}

int span_stderr(void)
{
    return kept >= 0 ? kept : STDERR_FILENO;
}

void span_verbose_set(int on)
{
    verbose = on;
}
