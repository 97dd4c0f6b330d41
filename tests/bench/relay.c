/*
 * A link that is slow: relays TCP connections with a delay each way and a rate that all of them share, for want of
 * the kernel's netem. Ends when its standard input does.
 * Usage: relay LISTEN_PORT_FILE ADDRESS TO_ADDRESS TO_PORT DELAY_US BYTES_PER_SECOND (0: any)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAYS_MAX    512
#define PIECES_MAX  4096
#define PIECE_BYTES 16384
#define SOCKET_ROOM 65536

/* Bytes that came at once, and when they are at the other end. */
struct piece {
    uint64_t due_ns;
    unsigned start, bytes;
    uint8_t data[PIECE_BYTES];
};

/* One direction of a connection. */
struct way {
    int from, to;
    bool ended; /* the sender has; told on when all is gone */
    bool closed;
    unsigned first, count;
    size_t held;
    struct piece *pieces[PIECES_MAX];
};

static struct way ways[WAYS_MAX]; /* 2n and 2n + 1 are the two of a connection */
static unsigned way_count;
static uint64_t delay_ns, rate, free_ns[2]; /* when the link is free again, each way */
static size_t hold_max;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int stream(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = SOCKET_ROOM, yes = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static void accept_one(int listener, const struct sockaddr_in *target)
{
    int yes = 1, near = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (near < 0)
        return;
    int far = stream();
    if (way_count + 2 > WAYS_MAX || connect(far, (const struct sockaddr *)target, sizeof *target) != 0) {
        close(near);
        close(far);
        return;
    }
    fcntl(far, F_SETFL, O_NONBLOCK);
    setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ways[way_count++] = (struct way){.from = near, .to = far};
    ways[way_count++] = (struct way){.from = far, .to = near};
}

static void way_take(struct way *way, unsigned direction)
{
    struct piece *piece = malloc(sizeof *piece);
    if (piece == NULL)
        fail("malloc");
    ssize_t got = recv(way->from, piece->data, sizeof piece->data, 0);
    if (got <= 0) {
        free(piece);
        way->ended |= got == 0 || errno != EAGAIN;
        return;
    }
    uint64_t now = now_ns();
    if (free_ns[direction] < now)
        free_ns[direction] = now;
    free_ns[direction] += rate ? (uint64_t)got * 1000000000u / rate : 0;
    piece->start = 0;
    piece->bytes = (unsigned)got;
    piece->due_ns = free_ns[direction] + delay_ns;
    way->pieces[(way->first + way->count++) % PIECES_MAX] = piece;
    way->held += (size_t)got;
}

/* Hands on what is due; the time of what is not yet, UINT64_MAX: nothing waits. */
static uint64_t way_give(struct way *way)
{
    while (way->count > 0) {
        struct piece *piece = way->pieces[way->first];
        if (piece->due_ns > now_ns())
            return piece->due_ns;
        ssize_t sent = send(way->to, piece->data + piece->start, piece->bytes - piece->start, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return now_ns() + 100000;
        if (sent < 0) {
            way->ended = true;
            sent = piece->bytes - piece->start;
        }
        piece->start += (unsigned)sent;
        way->held -= (size_t)sent;
        if (piece->start < piece->bytes)
            continue;
        free(piece);
        way->first = (way->first + 1) % PIECES_MAX;
        way->count--;
    }
    if (way->ended && !way->closed) {
        shutdown(way->to, SHUT_WR);
        way->closed = true;
    }
    return UINT64_MAX;
}

static bool way_open(const struct way *way)
{
    return !way->ended && way->count < PIECES_MAX && way->held < hold_max;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    struct sockaddr_in address = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    target.sin_port = htons((uint16_t)atoi(argv[4]));
    delay_ns = strtoull(argv[5], NULL, 10) * 1000u;
    rate = strtoull(argv[6], NULL, 10);
    hold_max = (size_t)((rate ? rate : 1250000000u) * delay_ns / 1000000000u) + 4 * PIECE_BYTES;
    int listener = stream();
    if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1 || inet_pton(AF_INET, argv[3], &target.sin_addr) != 1 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        fail("listening");
    FILE *file = fopen(argv[1], "w");
    if (file == NULL || fprintf(file, "%u\n", ntohs(address.sin_port)) < 0 || fclose(file) != 0)
        fail(argv[1]);
    for (uint64_t due_ns = UINT64_MAX;;) {
        static struct pollfd polls[WAYS_MAX + 2];
        polls[0] = (struct pollfd){.fd = 0, .events = POLLIN};
        polls[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (unsigned i = 0; i < way_count; i++)
            polls[2 + i] = (struct pollfd){.fd = way_open(&ways[i]) ? ways[i].from : -1, .events = POLLIN};
        uint64_t now = now_ns(), left_ns = due_ns > now ? due_ns - now : 0;
        struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000u), .tv_nsec = (long)(left_ns % 1000000000u)};
        unsigned count = way_count;
        if (ppoll(polls, 2 + count, due_ns == UINT64_MAX ? NULL : &left, NULL) < 0 && errno != EINTR)
            fail("ppoll");
        if (polls[0].revents)
            return 0;
        for (unsigned i = 0; i < count; i++)
            if (polls[2 + i].revents)
                way_take(&ways[i], i % 2);
        if (polls[1].revents)
            accept_one(listener, &target);
        due_ns = UINT64_MAX;
        for (unsigned i = 0; i < way_count; i++) {
            uint64_t next_ns = way_give(&ways[i]);
            if (next_ns < due_ns)
                due_ns = next_ns;
        }
    }
}
