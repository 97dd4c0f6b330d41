/*
 * The raw reference of faults, calls and migrations, and of what goes one way only: two processes exchange messages
 * over TCP loopback, pinned as the nodes are, the answering one to the first allowed CPU (home) and the asking one to
 * the second (peer). Prints the nanoseconds of one exchange, the median. Usage: exchange REQUEST_BYTES ANSWER_BYTES
 * HOW, where HOW is one of
 * - spin: both poll and never sleep
 * - sleep: both block in recv
 * - paced: as sleep, with two milliseconds of sleep before each request
 * - stream: no requests; REQUEST_BYTES come in answers of ANSWER_BYTES, each sent and received by itself. Prints how
 * many come in a second.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "median.h"

#define BYTES_MAX (64 * 1024)
#define COUNT_MAX 5000
#define WARM      200

static char buffer[BYTES_MAX];

/* Pins to the allowed CPU number `index`; a machine with fewer has nothing to compare. */
static void process_pin(int index)
{
    cpu_set_t allowed, one;
    check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && index-- == 0) {
            CPU_SET(cpu, &one);
            check(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
            return;
        }
    fprintf(stderr, "exchange: two CPUs are needed\n");
    exit(77);
}

/* False when the other side has closed. */
static int bytes_receive(int fd, size_t size, int flags)
{
    for (size_t have = 0; have < size;) {
        ssize_t got = recv(fd, buffer + have, size - have, flags);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return 0;
        if (got > 0)
            have += (size_t)got;
    }
    return 1;
}

static void bytes_send(int fd, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t put = send(fd, buffer + sent, size - sent, MSG_NOSIGNAL);
        check(put > 0, "send");
        sent += (size_t)put;
    }
}

static void answer(int listener, size_t request, size_t reply, int flags, int stream)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    process_pin(0);
    int fd = accept(listener, NULL, NULL), one = 1;
    check(fd >= 0, "accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (size_t i = 0; stream && i < request / reply; i++)
        bytes_send(fd, reply);
    while (!stream && bytes_receive(fd, request, flags))
        bytes_send(fd, reply);
    _exit(0);
}

static double answers_a_second(int fd, size_t count, size_t reply)
{
    check(bytes_receive(fd, reply, 0), "recv"); /* from now on it flows */
    uint64_t start = now_ns();
    for (size_t i = 1; i < count; i++)
        check(bytes_receive(fd, reply, 0), "recv");
    return (double)(count - 1) * 1e9 / (double)(now_ns() - start);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: exchange REQUEST_BYTES ANSWER_BYTES spin|sleep|paced|stream\n");
        return 2;
    }
    size_t request = (size_t)atol(argv[1]), reply = (size_t)atol(argv[2]);
    int paced = strcmp(argv[3], "paced") == 0, flags = strcmp(argv[3], "spin") == 0 ? MSG_DONTWAIT : 0;
    int count = paced ? 300 : COUNT_MAX, stream = strcmp(argv[3], "stream") == 0;
    check(request && (stream ? request > reply : request <= BYTES_MAX) && reply && reply <= BYTES_MAX, "sizes");

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    check(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0, "bind");
    check(listen(listener, 1) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size) == 0, "getsockname");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0)
        answer(listener, request, reply, flags, stream);

    process_pin(1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&address, size) == 0, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (stream) {
        printf("%.1f\n", answers_a_second(fd, request / reply, reply));
        return 0;
    }
    static uint64_t times[COUNT_MAX];
    for (int i = -WARM; i < count; i++) {
        if (paced && i >= 0)
            sleep_us(2000);
        uint64_t start = now_ns();
        bytes_send(fd, request);
        check(bytes_receive(fd, reply, flags), "recv");
        if (i >= 0)
            times[i] = now_ns() - start;
    }
    printf("%.1f\n", (double)median(times, (size_t)count));
    return 0;
}
