/*
 * Peers on this machine, for --local: each its own process, reached over TCP on loopback as a remote one would be.
 *
 * The process is a fork of home without an exec: the address layout is the same by construction, and one file is all
 * that is needed. It gives up the program's memory and descriptors at once. Its exit signal is 0, so that no plain wait
 * of the program ever sees it, and it ends when its engine channel does. Home waits for it at its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/peer.h"
#include "monitor/session_private.h"
#include "monitor/thread.h"
#include "runtime/channel.h"
#include "runtime/descriptor.h"
#include "runtime/heap.h"
#include "runtime/userfault.h"

/* Two ends of a TCP connection over loopback. */
static int tcp_pair(int pair[2], char why[WIRE_MESSAGE_BYTES])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pair[0] = pair[1] = -1;
    if (listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &length) == 0) {
        pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (pair[0] >= 0 && connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0)
            pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    }
    struct sockaddr_in mine, theirs;
    socklen_t sizes[2] = {sizeof mine, sizeof theirs};
    bool same = pair[1] >= 0 && getsockname(pair[0], (struct sockaddr *)&mine, &sizes[0]) == 0 &&
                getpeername(pair[1], (struct sockaddr *)&theirs, &sizes[1]) == 0 &&
                mine.sin_port == theirs.sin_port; /* nobody else slipped in */
    int error = errno;
    if (listener >= 0)
        close(listener);
    if (same)
        return 0;
    snprintf(why, WIRE_MESSAGE_BYTES, "TCP over loopback: %s (a local node needs it)", strerror(error));
    if (pair[0] >= 0)
        close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    return -ECONNABORTED;
}

/* The smallest of `fds` that is `from` or more; ~0u: none. */
static unsigned next_of(const int *fds, int count, unsigned from)
{
    unsigned next = ~0u;
    for (int i = 0; i < count; i++)
        if (fds[i] >= (int)from && (unsigned)fds[i] < next)
            next = (unsigned)fds[i];
    return next;
}

/* Limits are the program's, at home: what this process uses beside it must not end the session. */
static void limits_lift(void)
{
    static const __rlimit_resource_t lifted[] = {RLIMIT_NOFILE, RLIMIT_CPU};
    struct rlimit limit;
    for (size_t i = 0; i < sizeof lifted / sizeof lifted[0]; i++) {
        if (getrlimit(lifted[i], &limit) != 0)
            continue;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(lifted[i], &limit);
        limit.rlim_cur = limit.rlim_max = RLIM_INFINITY;
        if (lifted[i] == RLIMIT_CPU)
            setrlimit(lifted[i], &limit); /* where that is permitted */
    }
}

/* Closes all descriptors but standard error and `keep`, which become 3, 4, ...; -1 stays -1. */
static void descriptors_keep(int *keep, int count)
{
    bool error_is_kept = next_of(keep, count, 2) == 2; /* the program has closed its own */
    for (unsigned from = 3, next = 0; next != ~0u; from = next + 1) {
        next = next_of(keep, count, from);
        if (next > from)
            syscall(SYS_close_range, from, next - 1, 0);
    }
    for (int i = 0; i < count; i++)
        keep[i] = keep[i] < 0 ? -1 : fcntl(keep[i], F_DUPFD_CLOEXEC, 3 + count);
    for (int i = 0; i < count; i++)
        keep[i] = keep[i] < 0 ? -1 : dup3(keep[i], 3 + i, O_CLOEXEC);
    syscall(SYS_close_range, 3 + count, ~0u, 0);
    close(0);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    if (error_is_kept)
        dup2(null, 2);
}

static _Noreturn void peer_begin(const struct session_node *node, unsigned number, int engine_fd, int thread_socket)
{
    char why[WIRE_MESSAGE_BYTES];
    struct wire_hello hello;
    struct channel *engine;
    heap_fork_child();
    session_hello(&hello, number);
    hello.monotonic_ns = hello.boottime_ns = hello.realtime_ns = 0; /* the same clocks, however long this takes */
    setsid();
    for (int signal = 1; signal <= 64; signal++) {
        struct {
            uint64_t handler, flags, restorer, mask;
        } plain = {0};
        if (signal != SIGKILL && signal != SIGSTOP)
            syscall(SYS_rt_sigaction, signal, &plain, NULL, sizeof plain.mask);
    }
    /* Only the two ends, userfaultfd's device and the way to tell the user are kept. */
    int keep[] = {engine_fd, thread_socket, userfault_device()};
    const int count = sizeof keep / sizeof keep[0];
    limits_lift();
    descriptors_keep(keep, count);
    userfault_device_is(keep[2]);
    munmap((void *)SPAN_ZONE_START, SPAN_ZONE_END - SPAN_ZONE_START);
    sched_setaffinity(0, sizeof node->cpus, &node->cpus);
    prctl(PR_SET_NAME, "span-peer", 0, 0, 0);
    int ignored = chdir("/");
    (void)ignored;
    thread_fork_child(thread_self());
    thread_unregister(thread_self());
    peer_key = NULL;
    int status = SPAN_EXIT_FAILURE;
    if (channel_accept(keep[0], NULL, 1000, &engine, why) == 0)
        status = peer_run(engine, keep[1], &hello);
    else
        span_warn("peer: %s", why);
    for (;;)
        syscall(SYS_exit_group, status);
}

/* Home's two ends, and the peer's. */
struct ends {
    int engine, threads, peer_engine, peer_threads;
};

static void end_close(int fd)
{
    if (fd >= 0)
        descriptor_close(fd);
}

/* Home's ends are among its own descriptors when the peer is made, so that none of them is the program's standard error
 * to it, which it keeps. */
static int ends_make(struct ends *ends, char why[WIRE_MESSAGE_BYTES])
{
    int pair[2], sockets[2];
    int result = tcp_pair(pair, why);
    if (result < 0)
        return result;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        result = -errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "socketpair: %s", strerror(errno));
        close(pair[0]);
        close(pair[1]);
        return result;
    }
    *ends = (struct ends){fdguard_move(pair[0]), fdguard_move(sockets[0]), pair[1], sockets[1]};
    if (ends->engine >= 0 && ends->threads >= 0)
        return 0;
    snprintf(why, WIRE_MESSAGE_BYTES, "no descriptor is left for it (raise ulimit -n)");
    end_close(ends->engine);
    end_close(ends->threads);
    close(pair[1]);
    close(sockets[1]);
    return -EMFILE;
}

int session_local_start(struct session_node *node, unsigned number, struct channel **engine,
                        char why[WIRE_MESSAGE_BYTES])
{
    struct ends ends = {-1, -1, -1, -1};
    int result = ends_make(&ends, why);
    if (result < 0)
        return result;
    uint64_t mask = thread_block_signals();
    heap_fork_prepare();
    long pid = syscall(SYS_clone, CLONE_UNTRACED, 0, 0, 0, 0);
    if (pid == 0)
        peer_begin(node, number, ends.peer_engine, ends.peer_threads);
    int error = errno;
    heap_fork_parent();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    close(ends.peer_engine);
    close(ends.peer_threads);
    if (pid < 0) {
        descriptor_close(ends.engine);
        snprintf(why, WIRE_MESSAGE_BYTES, "fork: %s%s", strerror(error), error == EAGAIN ? " (raise ulimit -u)" : "");
        result = -error;
    } else {
        node->pid = (pid_t)pid;
        node->thread_socket = ends.threads;
        result = channel_accept(ends.engine, NULL, 1000, engine, why);
    }
    if (result < 0) {
        descriptor_close(ends.threads);
        session_local_wait(node, 1000);
    }
    return result;
}

int session_local_wait(struct session_node *node, int timeout_ms)
{
    int status;
    if (node->pid == 0)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, node->pid, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (fd >= 0) {
        poll(&end, 1, timeout_ms);
        close(fd);
    }
    bool ended = waitpid(node->pid, &status, __WALL | WNOHANG) == node->pid;
    node->pid = 0;
    return ended ? status : -1;
}

int session_local_thread(struct session_node *node, struct channel **channel, char why[WIRE_MESSAGE_BYTES])
{
    int pair[2];
    int result = tcp_pair(pair, why);
    if (result < 0)
        return result;
    int own = fdguard_move(pair[0]);
    if (own < 0) {
        close(pair[1]);
        snprintf(why, WIRE_MESSAGE_BYTES, "no descriptor is left for a thread there (raise ulimit -n)");
        return own;
    }
    char byte = 0, control[CMSG_SPACE(sizeof(int))];
    memset(control, 0, sizeof control);
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &pair[1], sizeof(int));
    ssize_t sent = sendmsg(node->thread_socket, &message, MSG_NOSIGNAL);
    close(pair[1]);
    if (sent < 0) {
        descriptor_close(own);
        snprintf(why, WIRE_MESSAGE_BYTES, "the peer takes no more threads");
        return -EPIPE;
    }
    return channel_accept(own, NULL, 1000, channel, why);
}
