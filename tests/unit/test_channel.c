/*
 * Channels over loopback TCP: frames whole and in pieces, queues, and everything the other side can do wrong.
 * Not for waiting (test_channel_wait.c) nor keys (test_channel_key.c); not for speed: scripts/bench.
 * links: $(filter runtime/channel% runtime/descriptor%,$(PARTS))
 */
#include "tests/unit/channel_pair.h"

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
            struct iovec pieces[] = {{bytes, first}, {bytes + first, 0}, {bytes + first, sizes[i] - first}};
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
    struct iovec one = {bytes, WIRE_FRAME_BYTES_MAX + 1}, two[] = {{bytes, WIRE_FRAME_BYTES_MAX}, {bytes, 1}};
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
        result = _i ? channel_queue(peer, WIRE_CALL, &piece, 1) : channel_send(peer, WIRE_CALL, &piece, 1);
        usleep(1000);
    }
    ck_assert_int_eq(result, -EPIPE);
    ck_assert_int_eq(channel_flush(peer), -EPIPE);
    channel_close(peer);
    channel_close(NULL);
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

int main(void)
{
    TCase *frames = tcase_create("frames");
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
    return channel_suite_run("channel", &frames, 1);
}
