/*
 * Ends of the whole thing: failures of ours that leave nothing to go on with.
 * Not for errors that the program or the user can act on later.
 */
#ifndef MONITOR_FATAL_H
#define MONITOR_FATAL_H

#define SPAN_EXIT_FAILURE 125

/* One line `ld-span: ...` on stderr, then exit_group(125). Any domain state, any thread. */
_Noreturn void span_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line `ld-span: ...` on stderr. */
void span_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same when --verbose was given. */
void span_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));
void span_verbose_set(int on);
/* A duplicate of descriptor 2, which the program may close before the session ends; and where to write, then or before.
 */
void span_stderr_keep(int fd);
int span_stderr(void);

#define SPAN_STRING_(x) #x
#define SPAN_STRING(x)  SPAN_STRING_(x)
/* Stays on in release builds: what it guards would corrupt the program. */
#define SPAN_ASSERT(condition)                                                                                         \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            span_fatal("assertion failed: %s at " __FILE__ ":" SPAN_STRING(__LINE__), #condition);                     \
    } while (0)

#endif
