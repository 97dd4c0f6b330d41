/*
 * What tests of channels share: keys in a directory of their own, and both ends of a connection over loopback.
 * Each test program includes this once.
 */
#ifndef TESTS_UNIT_CHANNEL_PAIR_H
#define TESTS_UNIT_CHANNEL_PAIR_H

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

#pragma GCC diagnostic ignored "-Wunused-function"

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
    server->result = channel_accept(fd, server->key, server->timeout_ms, &server->channel, server->why);
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
    int result = channel_connect(server.name, WIRE_KIND_SESSION, session_id, tls ? key : NULL, 5000, 100, home, why);
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

static int channel_suite_run(const char *name, TCase *tests[], size_t count)
{
    Suite *suite = suite_create(name);
    for (size_t i = 0; i < count; i++) {
        tcase_add_checked_fixture(tests[i], set_up, tear_down);
        tcase_set_timeout(tests[i], 30);
        suite_add_tcase(suite, tests[i]);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#endif
