/*
 * Channels over loopback TCP: frames, waiting, keys, and everything the other side can do wrong.
 * Not for speed: scripts/bench.
 * links: $(filter runtime/channel% runtime/descriptor%,$(PARTS))
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/channel.h"

static const uint8_t session_id[16] = "a session's name";
static char scratch[64];
static char key_path[128], other_key_path[128];
static struct channel_key *key, *other_key;

static void set_up(void)
{
    char why[WIRE_MESSAGE_BYTES];
    strcpy(scratch, "/tmp/test_channel.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    snprintf(key_path, sizeof key_path, "%s/key", scratch);
    snprintf(other_key_path, sizeof other_key_path, "%s/other", scratch);
    ck_assert_int_eq(channel_key_create(key_path, why), 0);
    ck_assert_int_eq(channel_key_create(other_key_path, why), 0);
    ck_assert_int_eq(channel_key_read(key_path, &key, why), 0);
    ck_assert_int_eq(channel_key_read(other_key_path, &other_key, why), 0);
}

static void tear_down(void)
{
    free(key);
    free(other_key);
    unlink(key_path);
    unlink(other_key_path);
    rmdir(scratch);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- a server of one connection ---- */

struct server {
    int listen_fd, timeout_ms;
    char name[64];
    const struct channel_key *key;
    struct channel *channel;
    struct wire_preamble preamble;
    int result;
    char why[WIRE_MESSAGE_BYTES];
    pthread_t thread;
};

static void *server_main(void *argument)
{
    struct server *server = argument;
    struct pollfd pollfd = {.fd = server->listen_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&pollfd, 1, 5000), 1);
    int fd = accept(server->listen_fd, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(channel_read_preamble(fd, 2000, &server->preamble), 0);
    server->result =
        channel_accept(fd, server->key, server->timeout_ms, &server->channel, server->why);
    return NULL;
}

static void server_start(struct server *server, const struct channel_key *server_key)
{
    *server = (struct server){.key = server_key, .timeout_ms = 5000};
    server->listen_fd = channel_listen("127.0.0.1:0", server->name, server->why);
    ck_assert_int_ge(server->listen_fd, 0);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static void server_join(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listen_fd);
}

/* Both ends of a connection; `tls` 0 or 1. */
static void pair_open(int tls, struct channel **home, struct channel **peer)
{
    struct server server;
    char why[WIRE_MESSAGE_BYTES] = "";
    server_start(&server, tls ? key : NULL);
    int result = channel_connect(server.name, WIRE_KIND_SESSION, session_id, tls ? key : NULL, 5000,
                                 100, home, why);
    ck_assert_msg(result == 0, "%s", why);
    server_join(&server);
    ck_assert_msg(server.result == 0, "%s", server.why);
    ck_assert_int_ge(channel_fd(*home), 100);
    ck_assert_uint_eq(server.preamble.kind, WIRE_KIND_SESSION);
    ck_assert_uint_eq(server.preamble.flags, tls ? WIRE_PREAMBLE_TLS : 0);
    ck_assert_mem_eq(server.preamble.session, session_id, 16);
    *peer = server.channel;
}

/* A channel whose other side is a bare socket. */
static struct channel *raw_open(int *fd)
{
    int pair[2];
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(channel_accept(pair[0], NULL, 1000, &channel, why), 0);
    *fd = pair[1];
    return channel;
}

static void fill(uint8_t *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

/* ---- frames ---- */

static const size_t sizes[] = {0,
                               1,
                               7,
                               8,
                               64,
                               503,
                               504,
                               505,
                               512,
                               513,
                               4095,
                               4096,
                               4120,
                               16375,
                               16376,
                               16377,
                               16384,
                               32768,
                               65535,
                               65536,
                               100000,
                               WIRE_FRAME_BYTES_MAX - 1,
                               WIRE_FRAME_BYTES_MAX};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)

static void *send_sizes(void *argument)
{
    uint8_t *bytes = malloc(WIRE_FRAME_BYTES_MAX);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < SIZE_COUNT; i++) {
            fill(bytes, sizes[i], i + round);
            size_t first = sizes[i] / 3;
            struct iovec pieces[] = {
                {bytes, first}, {bytes + first, 0}, {bytes + first, sizes[i] - first}};
            ck_assert_int_eq(channel_send(argument, (enum wire_type)(i + 1), pieces, 3), 0);
        }
    }
    free(bytes);
    return NULL;
}

START_TEST(test_sizes_received)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    pthread_t thread;
    pthread_create(&thread, NULL, send_sizes, home);
    uint8_t *expected = malloc(WIRE_FRAME_BYTES_MAX), *bytes = malloc(WIRE_FRAME_BYTES_MAX);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < SIZE_COUNT; i++) {
            struct wire_frame frame;
            ck_assert_int_eq(channel_receive(peer, &frame, bytes, WIRE_FRAME_BYTES_MAX), 0);
            ck_assert_uint_eq(frame.bytes, sizes[i]);
            ck_assert_uint_eq(frame.type, i + 1);
            fill(expected, sizes[i], i + round);
            ck_assert(memcmp(bytes, expected, sizes[i]) == 0);
        }
    }
    pthread_join(thread, NULL);
    free(expected);
    free(bytes);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_sizes_polled)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    pthread_t thread;
    pthread_create(&thread, NULL, send_sizes, home);
    uint8_t *expected = malloc(WIRE_FRAME_BYTES_MAX);
    for (unsigned got = 0; got < 3 * SIZE_COUNT;) {
        struct pollfd pollfd = {.fd = channel_fd(peer), .events = POLLIN};
        ck_assert_int_eq(poll(&pollfd, 1, 5000), 1);
        struct wire_frame frame;
        const void *bytes;
        int result;
        while ((result = channel_poll_frame(peer, &frame, &bytes)) == 1) {
            unsigned i = got % SIZE_COUNT;
            ck_assert_uint_eq(frame.bytes, sizes[i]);
            fill(expected, sizes[i], i + got / SIZE_COUNT);
            ck_assert(memcmp(bytes, expected, sizes[i]) == 0);
            got++;
        }
        ck_assert_int_eq(result, 0);
    }
    pthread_join(thread, NULL);
    free(expected);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_too_large_to_send)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    uint8_t *bytes = calloc(1, WIRE_FRAME_BYTES_MAX + 1);
    struct iovec one = {bytes, WIRE_FRAME_BYTES_MAX + 1},
                 two[] = {{bytes, WIRE_FRAME_BYTES_MAX}, {bytes, 1}};
    struct iovec many[17] = {{bytes, 1}};
    ck_assert_int_eq(channel_send(home, WIRE_CALL, &one, 1), -EMSGSIZE);
    ck_assert_int_eq(channel_send(home, WIRE_CALL, two, 2), -EMSGSIZE);
    ck_assert_int_eq(channel_queue(home, WIRE_CALL, two, 2), -EMSGSIZE);
    ck_assert_int_eq(channel_send(home, WIRE_CALL, many, 17), -EINVAL);
    /* Nothing of them went out. */
    struct wire_frame frame;
    ck_assert_int_eq(channel_send(home, WIRE_CALL, two, 1), 0);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, WIRE_FRAME_BYTES_MAX), 0);
    ck_assert_uint_eq(frame.bytes, WIRE_FRAME_BYTES_MAX);
    free(bytes);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_too_large_to_receive)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    char bytes[100] = "contents", small[8];
    struct iovec piece = {bytes, sizeof bytes};
    struct wire_frame frame;
    ck_assert_int_eq(channel_send(home, WIRE_CALL, &piece, 1), 0);
    ck_assert_int_eq(channel_receive(peer, &frame, small, sizeof small), -EMSGSIZE);
    ck_assert_uint_eq(frame.bytes, sizeof bytes);
    /* It is still there for whoever has room. */
    memset(bytes, 0, sizeof bytes);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), 0);
    ck_assert_str_eq(bytes, "contents");
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* Sends a stream of three frames a few bytes at a time. */
static void *dribble(void *argument)
{
    int fd = *(int *)argument;
    uint8_t stream[3 * (sizeof(struct wire_frame) + 50)], *end = stream;
    for (unsigned i = 0; i < 3; i++) {
        struct wire_frame frame = {.bytes = 40 + i * 5, .type = WIRE_CALL};
        memcpy(end, &frame, sizeof frame);
        fill(end + sizeof frame, frame.bytes, i);
        end += sizeof frame + frame.bytes;
    }
    for (uint8_t *byte = stream; byte < end;) {
        size_t size = (size_t)(end - byte) < 3 ? (size_t)(end - byte) : 3;
        ck_assert_int_eq(send(fd, byte, size, 0), (ssize_t)size);
        byte += size;
        usleep(byte < stream + 60 ? 2000 : 10);
    }
    return NULL;
}

START_TEST(test_partial_reads)
{
    int fd;
    struct channel *channel = raw_open(&fd);
    pthread_t thread;
    pthread_create(&thread, NULL, dribble, &fd);
    for (unsigned i = 0; i < 3; i++) {
        struct wire_frame frame;
        uint8_t bytes[100], expected[100];
        const void *payload = bytes;
        if (_i == 0) {
            ck_assert_int_eq(channel_receive(channel, &frame, bytes, sizeof bytes), 0);
        } else if (_i == 1) {
            ck_assert_int_eq(channel_wait(channel, NULL, -1), 1);
            ck_assert_int_eq(channel_poll_frame(channel, &frame, &payload), 1);
        } else {
            while (channel_poll_frame(channel, &frame, &payload) == 0)
                sched_yield();
        }
        ck_assert_uint_eq(frame.bytes, 40 + i * 5);
        fill(expected, frame.bytes, i);
        ck_assert_mem_eq(payload, expected, frame.bytes);
    }
    pthread_join(thread, NULL);
    close(fd);
    channel_close(channel);
}
END_TEST

START_TEST(test_malformed_length)
{
    const uint32_t lengths[] = {WIRE_FRAME_BYTES_MAX + 1, UINT32_MAX, WIRE_MAGIC};
    int fd;
    struct channel *channel = raw_open(&fd);
    struct wire_frame good = {.bytes = 0, .type = WIRE_CALL}, bad = {.bytes = lengths[_i]}, frame;
    const void *payload;
    ck_assert_int_eq(send(fd, &good, sizeof good, 0), (ssize_t)sizeof good);
    ck_assert_int_eq(send(fd, &bad, sizeof bad, 0), (ssize_t)sizeof bad);
    ck_assert_int_eq(channel_wait(channel, NULL, 1000), 1);
    ck_assert_int_eq(channel_receive(channel, &frame, NULL, 0), 0);
    ck_assert_int_eq(channel_wait(channel, NULL, 1000), 1);
    ck_assert_int_eq(channel_receive(channel, &frame, NULL, 0), -EPROTO);
    ck_assert_int_eq(channel_poll_frame(channel, &frame, &payload), -EPROTO);
    /* For good. */
    ck_assert_int_eq(send(fd, &good, sizeof good, 0), (ssize_t)sizeof good);
    ck_assert_int_eq(channel_receive(channel, &frame, NULL, 0), -EPROTO);
    close(fd);
    channel_close(channel);
}
END_TEST

START_TEST(test_closed_peer)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    char bytes[64] = "last words";
    struct iovec piece = {bytes, sizeof bytes};
    struct wire_frame frame;
    const void *payload;
    ck_assert_int_eq(channel_send(home, WIRE_CALL, &piece, 1), 0);
    ck_assert_int_eq(channel_send(home, WIRE_CALL, &piece, 1), 0);
    channel_close(home);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), 0);
    ck_assert_int_eq(channel_wait(peer, NULL, 1000), 1);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), 0);
    ck_assert_str_eq(bytes, "last words");
    ck_assert_int_eq(channel_wait(peer, NULL, 1000), 1);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), -EPIPE);
    ck_assert_int_eq(channel_poll_frame(peer, &frame, &payload), -EPIPE);
    ck_assert_int_eq(channel_receive_bytes(peer, bytes, 1, 1000), -EPIPE);
    /* No SIGPIPE, and an error at the latest when the reset has arrived. */
    int result = 0;
    for (int i = 0; i < 100 && result == 0; i++) {
        result = _i ? channel_queue(peer, WIRE_CALL, &piece, 1)
                    : channel_send(peer, WIRE_CALL, &piece, 1);
        usleep(1000);
    }
    ck_assert_int_eq(result, -EPIPE);
    ck_assert_int_eq(channel_flush(peer), -EPIPE);
    channel_close(peer);
    channel_close(NULL);
}
END_TEST

/* ---- waiting ---- */

static volatile sig_atomic_t signals_caught;
static void signal_catch(int signal)
{
    (void)signal;
    signals_caught++;
}

static void *signal_later(void *argument)
{
    usleep(30000);
    pthread_kill(*(pthread_t *)argument, SIGUSR1);
    return NULL;
}

START_TEST(test_wait_times_out)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    ck_assert_int_eq(channel_wait(peer, NULL, 0), 0);
    int64_t start = now_ms();
    ck_assert_int_eq(channel_wait(peer, NULL, 60), 0);
    ck_assert_int_ge(now_ms() - start, 59);
    ck_assert_int_lt(now_ms() - start, 1000);
    char byte;
    ck_assert_int_eq(channel_receive_bytes(peer, &byte, 1, 20), -ETIMEDOUT);
    ck_assert_int_eq(channel_send(home, WIRE_CALL, NULL, 0), 0);
    ck_assert_int_eq(channel_wait(peer, NULL, -1), 1);
    ck_assert_int_eq(channel_wait(peer, NULL, 0), 1);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_wait_interrupted)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    struct sigaction action = {.sa_handler = signal_catch, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t self = pthread_self(), thread;

    /* Not blocked: the handler runs during the sleep. */
    signals_caught = 0;
    pthread_create(&thread, NULL, signal_later, &self);
    ck_assert_int_eq(channel_wait(peer, NULL, 5000), -EINTR);
    ck_assert_int_eq(signals_caught, 1);
    pthread_join(thread, NULL);

    /* Blocked but for the sleep, and pending before it. */
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    pthread_kill(self, SIGUSR1);
    ck_assert_int_eq(channel_wait(peer, NULL, 30), 0);
    ck_assert_int_eq(signals_caught, 1);
    ck_assert_int_eq(channel_wait(peer, &none, -1), -EINTR);
    ck_assert_int_eq(signals_caught, 2);

    /* A frame that is there comes first, and the signal stays pending. */
    pthread_kill(self, SIGUSR1);
    ck_assert_int_eq(channel_send(home, WIRE_CALL, NULL, 0), 0);
    ck_assert_int_eq(channel_wait(peer, &none, 1000), 1);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_receive_survives_signals)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    struct sigaction action = {.sa_handler = signal_catch};
    sigaction(SIGUSR1, &action, NULL);
    signals_caught = 0;
    pthread_t self = pthread_self(), thread;
    pthread_create(&thread, NULL, signal_later, &self);
    char byte;
    ck_assert_int_eq(channel_receive_bytes(peer, &byte, 1, 100), -ETIMEDOUT);
    pthread_join(thread, NULL);
    ck_assert_int_eq(signals_caught, 1);
    channel_close(home);
    channel_close(peer);
}
END_TEST

static void *echo(void *argument)
{
    struct wire_frame frame;
    char bytes[64];
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first);
    struct iovec piece = {bytes, sizeof bytes};
    while (channel_receive(argument, &frame, bytes, sizeof bytes) == 0)
        ck_assert_int_eq(channel_send(argument, WIRE_CALL, &piece, 1), 0);
    return NULL;
}

START_TEST(test_one_processor_is_enough)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    ck_assert_int_eq(sched_setaffinity(0, sizeof first, &first), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, echo, peer);
    char bytes[64] = "";
    struct iovec piece = {bytes, sizeof bytes};
    struct wire_frame frame;
    int64_t start = now_ms();
    for (int i = 0; i < 2000; i++) {
        ck_assert_int_eq(channel_send(home, WIRE_CALL, &piece, 1), 0);
        ck_assert_int_eq(channel_receive(home, &frame, bytes, sizeof bytes), 0);
    }
    /* A spin that does not yield would take a scheduler slice for each: some 8 s. */
    ck_assert_int_lt(now_ms() - start, 2500);
    channel_close(home);
    pthread_join(thread, NULL);
    channel_close(peer);
}
END_TEST

START_TEST(test_sleep_costs_nothing)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    struct rusage before, after;
    getrusage(RUSAGE_THREAD, &before);
    ck_assert_int_eq(channel_wait(peer, NULL, 300), 0);
    getrusage(RUSAGE_THREAD, &after);
    long used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                   after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                   (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                   after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    ck_assert_int_lt(used_us, 20000);
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* ---- queueing ---- */

static void *drain(void *argument)
{
    struct wire_frame frame;
    uint32_t number, *bytes = malloc(WIRE_FRAME_BYTES_MAX);
    for (number = 0;; number++) {
        ck_assert_int_eq(channel_receive(argument, &frame, bytes, WIRE_FRAME_BYTES_MAX), 0);
        if (frame.type == WIRE_QUIT)
            break;
        ck_assert_uint_eq(bytes[0], number);
        ck_assert_uint_eq(bytes[frame.bytes / 4 - 1], number);
    }
    free(bytes);
    return (void *)(uintptr_t)number;
}

START_TEST(test_queue_and_flush)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    uint32_t *bytes = calloc(1, WIRE_FRAME_BYTES_MAX);
    uint32_t count = 0;
    /* Nobody reads: the rest waits here, until it is too much. */
    for (int result = 0;;) {
        size_t size = count % 3 ? 4120 : WIRE_FRAME_BYTES_MAX;
        struct iovec piece = {bytes, size};
        bytes[0] = bytes[size / 4 - 1] = count;
        result = channel_queue(home, WIRE_CALL, &piece, 1);
        if (result == -ENOBUFS)
            break;
        ck_assert_int_eq(result, 0);
        count++;
    }
    ck_assert_uint_gt(count, 1000);
    ck_assert_int_eq(channel_flush(home), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, drain, peer);
    int result;
    while ((result = channel_flush(home)) == 0) {
        struct pollfd pollfd = {.fd = channel_fd(home), .events = POLLOUT};
        ck_assert_int_eq(poll(&pollfd, 1, 5000), 1);
    }
    ck_assert_int_eq(result, 1);
    ck_assert_int_eq(channel_queue(home, WIRE_QUIT, NULL, 0), 0);
    void *received;
    pthread_join(thread, &received);
    ck_assert_uint_eq((uintptr_t)received, count);
    free(bytes);
    channel_close(home);
    channel_close(peer);
}
END_TEST

START_TEST(test_send_follows_queue)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    uint32_t *bytes = calloc(1, WIRE_FRAME_BYTES_MAX), count = 0;
    struct iovec piece = {bytes, WIRE_FRAME_BYTES_MAX};
    for (; count < 200; count++) {
        bytes[0] = bytes[WIRE_FRAME_BYTES_MAX / 4 - 1] = count;
        ck_assert_int_eq(channel_queue(home, WIRE_CALL, &piece, 1), 0);
    }
    ck_assert_int_eq(channel_flush(home), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, drain, peer);
    bytes[0] = bytes[WIRE_FRAME_BYTES_MAX / 4 - 1] = count++;
    ck_assert_int_eq(channel_send(home, WIRE_CALL, &piece, 1), 0);
    ck_assert_int_eq(channel_send(home, WIRE_QUIT, NULL, 0), 0);
    void *received;
    pthread_join(thread, &received);
    ck_assert_uint_eq((uintptr_t)received, count);
    free(bytes);
    channel_close(home);
    channel_close(peer);
}
END_TEST

static void *send_many(void *argument)
{
    static _Atomic unsigned senders;
    uint8_t who = (uint8_t)senders++, bytes[3000];
    memset(bytes, who, sizeof bytes);
    for (unsigned i = 0; i < 500; i++) {
        struct iovec pieces[] = {{bytes, 1 + i * 5}, {bytes, 100}};
        ck_assert_int_eq(channel_send(argument, WIRE_CALL, pieces, 2), 0);
    }
    return NULL;
}

START_TEST(test_senders_at_once)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, send_many, home);
    unsigned next[256] = {0};
    for (unsigned i = 0; i < 4 * 500; i++) {
        struct wire_frame frame;
        uint8_t bytes[4000];
        ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), 0);
        ck_assert_uint_eq(frame.bytes, 101 + next[bytes[0]]++ * 5);
        ck_assert(memcmp(bytes, bytes + 1, frame.bytes - 1) == 0);
        /* The other direction at the same time. */
        ck_assert_int_eq(channel_send(peer, WIRE_CALL_RESULT, NULL, 0), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 4 * 500; i++) {
        struct wire_frame frame;
        ck_assert_int_eq(channel_receive(home, &frame, NULL, 0), 0);
    }
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* Memory of the program that is gone is an error, not a fault, and the stream goes on. */
START_TEST(test_memory_of_the_program)
{
    struct channel *home, *peer;
    pair_open(_i, &home, &peer);
    uint8_t *memory = mmap((void *)0x7000000, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(memory, (void *)0x7000000);
    memset(memory, 'x', 2 * PAGE_BYTES);
    ck_assert_int_eq(munmap(memory + PAGE_BYTES, PAGE_BYTES), 0);
    struct wire_page page = {.page = 0x7000};
    struct iovec good[] = {{&page, sizeof page}, {memory, PAGE_BYTES}};
    struct iovec bad[] = {{memory + PAGE_BYTES, PAGE_BYTES}};
    struct wire_frame frame;
    uint8_t bytes[2 * PAGE_BYTES];
    ck_assert_int_eq(channel_queue(home, WIRE_PAGE_GRANT, good, 2), 0);
    /* Without TLS the header is out before the kernel meets the bad page: that stream is lost, but
     * told so. */
    ck_assert_int_eq(channel_queue(home, WIRE_PAGE_GRANT, bad, 1), -EFAULT);
    ck_assert_int_eq(channel_receive(peer, &frame, bytes, sizeof bytes), 0);
    ck_assert_uint_eq(frame.bytes, sizeof page + PAGE_BYTES);
    ck_assert_uint_eq(bytes[sizeof page], 'x');
    int result = channel_queue(home, WIRE_PAGE_GRANT, good, 2);
    ck_assert(result == 0 || (!_i && result == -EFAULT));
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* ---- keys ---- */

static void try_keys(const struct channel_key *at_server, const struct channel_key *at_client,
                     const char *client_word, const char *server_word)
{
    struct server server;
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES] = "";
    server_start(&server, at_server);
    int64_t start = now_ms();
    int result = channel_connect(server.name, WIRE_KIND_PROBE, session_id, at_client, 3000, 0,
                                 &channel, why);
    if (result == 0 &&
        at_server != at_client) { /* TLS 1.3: the client may learn only when it reads */
        char byte;
        result = channel_receive_bytes(channel, &byte, 1, 3000);
        channel_close(channel);
    }
    server_join(&server);
    ck_assert_int_lt(now_ms() - start, 2500);
    ck_assert_int_lt(result, 0);
    ck_assert_int_lt(server.result, 0);
    if (client_word)
        ck_assert_msg(strstr(why, client_word), "%s", why);
    ck_assert_msg(strstr(server.why, server_word), "%s", server.why);
}

START_TEST(test_wrong_key)
{
    try_keys(key, other_key, "has another key", "has another key");
}
END_TEST

static void *answer_in_clear(void *argument)
{
    struct server *server = argument;
    struct pollfd pollfd = {.fd = server->listen_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&pollfd, 1, 5000), 1);
    int fd = accept(server->listen_fd, NULL, NULL);
    struct wire_welcome welcome = {
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .status = WIRE_REFUSED};
    ck_assert_int_eq(channel_read_preamble(fd, 2000, &server->preamble), 0);
    ck_assert_int_eq(send(fd, &welcome, sizeof welcome, 0), (ssize_t)sizeof welcome);
    char byte;
    while (recv(fd, &byte, 1, 0) == 1)
        ;
    close(fd);
    return NULL;
}

START_TEST(test_other_side_has_no_key)
{
    struct server server = {0};
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES] = "";
    server.listen_fd = channel_listen("127.0.0.1:0", server.name, why);
    pthread_create(&server.thread, NULL, answer_in_clear, &server);
    ck_assert_int_lt(
        channel_connect(server.name, WIRE_KIND_PROBE, session_id, key, 3000, 0, &channel, why), 0);
    server_join(&server);
    ck_assert_msg(strstr(why, "no key"), "%s", why);
    ck_assert_ptr_null(channel);
}
END_TEST

START_TEST(test_handshake_times_out)
{
    char why[WIRE_MESSAGE_BYTES] = "", name[64];
    struct channel *channel;
    int listen_fd = channel_listen("127.0.0.1:0", name, why);
    int64_t start = now_ms();
    ck_assert_int_eq(channel_connect(name, WIRE_KIND_PROBE, session_id, key, 150, 0, &channel, why),
                     -ETIMEDOUT);
    ck_assert_msg(strstr(why, "in time"), "%s", why);
    int fd = accept(listen_fd, NULL, NULL);
    close(fd);
    /* The same on the server's side. */
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(channel_accept(pair[0], key, 150, &channel, why), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - start, 299);
    ck_assert_int_lt(now_ms() - start, 2000);
    close(pair[1]);
    close(listen_fd);
}
END_TEST

START_TEST(test_tampering_is_noticed)
{
    struct server server;
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES] = "";
    server_start(&server, key);
    ck_assert_int_eq(
        channel_connect(server.name, WIRE_KIND_PROBE, session_id, key, 3000, 0, &channel, why), 0);
    server_join(&server);
    ck_assert_int_eq(server.result, 0);
    const uint8_t record[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                              9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    ck_assert_int_eq(send(channel_fd(channel), record, sizeof record, 0), (ssize_t)sizeof record);
    struct wire_frame frame;
    ck_assert_int_eq(channel_receive(server.channel, &frame, NULL, 0), -EPROTO);
    channel_close(channel);
    channel_close(server.channel);
}
END_TEST

START_TEST(test_key_files)
{
    char path[128], why[WIRE_MESSAGE_BYTES];
    struct channel_key *read;
    struct stat status;
    snprintf(path, sizeof path, "%s/some", scratch);
    ck_assert_int_eq(channel_key_create(path, why), 0);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(channel_key_create(path, why), -EEXIST);
    ck_assert_msg(strstr(why, path), "%s", why);
    ck_assert_int_eq(channel_key_read(path, &read, why), 0);
    free(read);

    const mode_t modes[] = {0644, 0640, 0604, 0602, 0610, 0700};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        chmod(path, modes[i]);
        ck_assert_int_eq(channel_key_read(path, &read, why), -EPERM);
        ck_assert_ptr_null(read);
        ck_assert_msg(strstr(why, "0600"), "%s", why);
    }
    chmod(path, 0600);
    const char *const contents[] = {
        "", "\n", "12345\n", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0\n"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        int fd = open(path, O_WRONLY | O_TRUNC);
        ck_assert_int_eq(write(fd, contents[i], strlen(contents[i])), (ssize_t)strlen(contents[i]));
        close(fd);
        ck_assert_int_eq(channel_key_read(path, &read, why), -EINVAL);
    }
    unlink(path);
    ck_assert_int_eq(channel_key_read(path, &read, why), -ENOENT);
    ck_assert_int_eq(channel_key_read(scratch, &read, why), -EINVAL);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(channel_key_read(path, &read, why), -EINVAL);
    unlink(path);
}
END_TEST

/* ---- addresses and preambles ---- */

START_TEST(test_addresses)
{
    ck_assert_int_eq(channel_is_loopback("127.0.0.1"), 1);
    ck_assert_int_eq(channel_is_loopback("127.9.9.9:80"), 1);
    ck_assert_int_eq(channel_is_loopback("localhost"), 1);
    ck_assert_int_eq(channel_is_loopback("localhost:7171"), 1);
    ck_assert_int_eq(channel_is_loopback("[::1]:7171"), 1);
    ck_assert_int_eq(channel_is_loopback("::1"), 1);
    ck_assert_int_eq(channel_is_loopback("[::ffff:127.0.0.1]"), 1);
    ck_assert_int_eq(channel_is_loopback("0.0.0.0"), 0);
    ck_assert_int_eq(channel_is_loopback("[::]:1"), 0);
    ck_assert_int_eq(channel_is_loopback("10.1.2.3:7171"), 0);
    ck_assert_int_eq(channel_is_loopback("128.0.0.1"), 0);
    const char *const bad[] = {
        "", ":7171", "[::1", "[::1]x", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "a:-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(channel_is_loopback(bad[i]), -EINVAL);
}
END_TEST

START_TEST(test_connect_failures)
{
    char why[WIRE_MESSAGE_BYTES] = "", name[64];
    struct channel *channel;
    int fd = channel_listen("127.0.0.1:0", name, why);
    char again[64];
    ck_assert_int_eq(channel_listen(name, again, why), -EADDRINUSE);
    ck_assert_msg(strstr(why, name), "%s", why);
    close(fd);
    ck_assert_int_eq(
        channel_connect(name, WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why),
        -ECONNREFUSED);
    ck_assert_msg(strstr(why, name) && strstr(why, "spand"), "%s", why);
    ck_assert_int_eq(
        channel_connect("a:b:", WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why),
        -ENOENT);
    ck_assert_int_eq(
        channel_connect("a:b", WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why), -EINVAL);
}
END_TEST

START_TEST(test_preamble)
{
    int pair[2];
    struct wire_preamble sent = {.magic = WIRE_MAGIC, .version = 99, .kind = WIRE_KIND_THREAD}, got;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    int64_t start = now_ms();
    ck_assert_int_eq(send(pair[1], &sent, 10, 0), 10);
    ck_assert_int_eq(channel_read_preamble(pair[0], 50, &got), -ETIMEDOUT);
    ck_assert_int_ge(now_ms() - start, 49);
    ck_assert_int_eq(send(pair[1], &sent, 14, 0), 14); /* what had come before is gone */
    ck_assert_int_eq(channel_read_preamble(pair[0], 50, &got), -ETIMEDOUT);
    ck_assert_int_eq(send(pair[1], &sent, sizeof sent, 0), (ssize_t)sizeof sent);
    ck_assert_int_eq(send(pair[1], "more", 4, 0), 4);
    ck_assert_int_eq(channel_read_preamble(pair[0], 50, &got), 0);
    ck_assert_mem_eq(&got, &sent, sizeof sent);
    /* Not a byte more is taken. */
    char rest[8];
    ck_assert_int_eq(recv(pair[0], rest, sizeof rest, 0), 4);
    sent.magic++;
    ck_assert_int_eq(send(pair[1], &sent, sizeof sent, 0), (ssize_t)sizeof sent);
    ck_assert_int_eq(channel_read_preamble(pair[0], 50, &got), -EPROTO);
    close(pair[1]);
    ck_assert_int_eq(channel_read_preamble(pair[0], 50, &got), -EPIPE);
    close(pair[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("channel");
    TCase *frames = tcase_create("frames"), *waiting = tcase_create("waiting"),
          *keys = tcase_create("keys");
    TCase *all[] = {frames, waiting, keys};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tcase_add_checked_fixture(all[i], set_up, tear_down);
        tcase_set_timeout(all[i], 30);
        suite_add_tcase(suite, all[i]);
    }
    /* Loops 0 and 1: in the clear and with TLS. */
    tcase_add_loop_test(frames, test_sizes_received, 0, 2);
    tcase_add_loop_test(frames, test_sizes_polled, 0, 2);
    tcase_add_loop_test(frames, test_too_large_to_send, 0, 2);
    tcase_add_loop_test(frames, test_too_large_to_receive, 0, 2);
    tcase_add_loop_test(frames, test_partial_reads, 0, 3);
    tcase_add_loop_test(frames, test_malformed_length, 0, 3);
    tcase_add_loop_test(frames, test_closed_peer, 0, 2);
    tcase_add_loop_test(frames, test_queue_and_flush, 0, 2);
    tcase_add_loop_test(frames, test_send_follows_queue, 0, 2);
    tcase_add_loop_test(frames, test_senders_at_once, 0, 2);
    tcase_add_loop_test(frames, test_memory_of_the_program, 0, 2);
    tcase_add_loop_test(waiting, test_wait_times_out, 0, 2);
    tcase_add_loop_test(waiting, test_wait_interrupted, 0, 2);
    tcase_add_loop_test(waiting, test_receive_survives_signals, 0, 2);
    tcase_add_loop_test(waiting, test_one_processor_is_enough, 0, 2);
    tcase_add_loop_test(waiting, test_sleep_costs_nothing, 0, 2);
    tcase_add_test(keys, test_wrong_key);
    tcase_add_test(keys, test_other_side_has_no_key);
    tcase_add_test(keys, test_handshake_times_out);
    tcase_add_test(keys, test_tampering_is_noticed);
    tcase_add_test(keys, test_key_files);
    tcase_add_test(keys, test_addresses);
    tcase_add_test(keys, test_connect_failures);
    tcase_add_test(keys, test_preamble);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
