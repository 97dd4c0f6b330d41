/*
 * The harness of the programs here: each shows one behaviour, prints something that is the same on
 * every run, exits 0. Natively, on one node and on several the output has to be equal. Status 77:
 * this machine cannot run it.
 */
#ifndef TESTS_PROGRAMS_BEHAVIOUR_H
#define TESTS_PROGRAMS_BEHAVIOUR_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);                  \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* pthread calls return the error. */
#define CHECK0(call) CHECK((errno = (call)) == 0)

/* Often enough that a call site that is met again and again has been rewritten on the way. */
#define OFTEN 40

/* A call by an instruction of this function, not of libc: result or negative errno. */
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* Where no memory is, and the compiler does not know it. */
static inline volatile int *nowhere(void)
{
    volatile unsigned long address = 8;
    return (volatile int *)address;
}

/*
 * Asks the session to move thread `tid` to `node` and waits until it was asked; nothing when the
 * program runs natively or on one node. Static programs and musl's have it too.
 */
static inline void move_thread(pid_t tid, int node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *base = getenv("XDG_RUNTIME_DIR");
    char text[160];
    snprintf(address.sun_path, sizeof address.sun_path, "%s/ld-span-%u/%d", base && base[0] == '/' ? base : "/tmp",
             (unsigned)geteuid(), (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error = errno;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        int length = snprintf(text, sizeof text, "migrate %d %d\n", (int)tid, node);
        if (write(fd, text, (size_t)length) == length)
            while (read(fd, text, sizeof text) < 0 && errno == EINTR)
                ;
    }
    close(fd);
    errno = error;
}

#endif
