/*
 * Keys of channels, their addresses and preambles.
 * links: $(filter runtime/channel% runtime/descriptor%,$(PARTS))
 */
#include "tests/unit/channel_pair.h"

/* ---- keys ---- */

static void try_keys(const struct channel_key *at_server, const struct channel_key *at_client, const char *client_word,
                     const char *server_word)
{
    struct server server;
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES] = "";
    server_start(&server, at_server);
    int64_t start = now_ms();
    int result = channel_connect(server.name, WIRE_KIND_PROBE, session_id, at_client, 3000, 0, &channel, why);
    if (result == 0 && at_server != at_client) { /* TLS 1.3: the client may learn only when it reads */
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
    struct wire_welcome welcome = {.magic = WIRE_MAGIC, .version = WIRE_VERSION, .status = WIRE_REFUSED};
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
    ck_assert_int_lt(channel_connect(server.name, WIRE_KIND_PROBE, session_id, key, 3000, 0, &channel, why), 0);
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
    ck_assert_int_eq(channel_connect(name, WIRE_KIND_PROBE, session_id, key, 150, 0, &channel, why), -ETIMEDOUT);
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
    ck_assert_int_eq(channel_connect(server.name, WIRE_KIND_PROBE, session_id, key, 3000, 0, &channel, why), 0);
    server_join(&server);
    ck_assert_int_eq(server.result, 0);
    const uint8_t record[] = {23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
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
    const char *const contents[] = {"", "\n", "12345\n",
                                    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg\n",
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
    const char *const bad[] = {"", ":7171", "[::1", "[::1]x", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "a:-1"};
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
    ck_assert_int_eq(channel_connect(name, WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why), -ECONNREFUSED);
    ck_assert_msg(strstr(why, name) && strstr(why, "spand"), "%s", why);
    ck_assert_int_eq(channel_connect("a:b:", WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why), -ENOENT);
    ck_assert_int_eq(channel_connect("a:b", WIRE_KIND_PROBE, session_id, NULL, 1000, 0, &channel, why), -EINVAL);
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
    TCase *keys = tcase_create("keys");
    tcase_add_test(keys, test_wrong_key);
    tcase_add_test(keys, test_other_side_has_no_key);
    tcase_add_test(keys, test_handshake_times_out);
    tcase_add_test(keys, test_tampering_is_noticed);
    tcase_add_test(keys, test_key_files);
    tcase_add_test(keys, test_addresses);
    tcase_add_test(keys, test_connect_failures);
    tcase_add_test(keys, test_preamble);
    return channel_suite_run("channel_key", &keys, 1);
}
