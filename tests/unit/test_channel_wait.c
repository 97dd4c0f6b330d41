/*
 * Waiting for a channel: time, signals, processors, and the exchange that does not wait.
 * links: $(filter runtime/channel% runtime/descriptor%,$(PARTS))
 */
#include "tests/unit/channel_pair.h"

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
    long used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
                   before.ru_utime.tv_usec + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
                   after.ru_stime.tv_usec - before.ru_stime.tv_usec;
    ck_assert_int_lt(used_us, 20000);
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* ---- the quick exchange ---- */

struct answer {
    struct channel *channel;
    unsigned delay_us;
    enum wire_type type;
    size_t bytes;
};

static void *answer_one(void *argument)
{
    const struct answer *answer = argument;
    struct wire_frame frame;
    uint8_t payload[64];
    ck_assert_int_eq(channel_receive(answer->channel, &frame, payload, sizeof payload), 0);
    ck_assert_uint_eq(frame.type, WIRE_CALL);
    ck_assert_uint_eq(frame.bytes, 64);
    usleep(answer->delay_us);
    struct iovec part = {payload, answer->bytes};
    ck_assert_int_eq(channel_send(answer->channel, answer->type, &part, 1), 0);
    return NULL;
}

/* The answer comes at once, or late, or is not what was expected: nothing of it is lost. */
START_TEST(test_quick_exchange)
{
    static const struct {
        unsigned delay_us;
        enum wire_type type;
        size_t bytes;
    } cases[] = {
        {0, WIRE_CALL_RESULT, 16}, {20000, WIRE_CALL_RESULT, 16}, {0, WIRE_MAPPING, 16},
        {20000, WIRE_MAPPING, 16}, {0, WIRE_CALL_RESULT, 12},     {0, WIRE_CALL_RESULT, 64},
    };
    struct channel *home, *peer;
    pair_open(_i % 2, &home, &peer);
    for (unsigned round = 0; round < 50 * sizeof cases / sizeof *cases; round++) {
        unsigned at = round < sizeof cases / sizeof *cases ? round : 0;
        uint8_t payload[64], got[64] = {0};
        fill(payload, sizeof payload, round);
        struct answer answer = {home, cases[at].delay_us, cases[at].type, cases[at].bytes};
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, answer_one, &answer), 0);
        enum channel_quick result =
            channel_quick_exchange(peer, WIRE_CALL, payload, sizeof payload, WIRE_CALL_RESULT, got, 16);
        bool fits = answer.type == WIRE_CALL_RESULT && answer.bytes == 16;
        if (result == CHANNEL_QUICK_REFUSED) {
            ck_assert_int_eq(_i % 2, 1); /* only under TLS */
            struct iovec part = {payload, sizeof payload};
            ck_assert_int_eq(channel_send(peer, WIRE_CALL, &part, 1), 0);
        } else {
            ck_assert_int_eq(_i % 2, 0);
            ck_assert(result == CHANNEL_QUICK_SENT || (fits && answer.delay_us == 0));
        }
        if (result != CHANNEL_QUICK_ANSWERED) {
            struct wire_frame frame;
            ck_assert_int_eq(channel_receive(peer, &frame, got, sizeof got), 0);
            ck_assert_uint_eq(frame.type, answer.type);
            ck_assert_uint_eq(frame.bytes, answer.bytes);
        }
        ck_assert_mem_eq(got, payload, result == CHANNEL_QUICK_ANSWERED ? 16 : answer.bytes);
        pthread_join(thread, NULL);
    }
    channel_close(home);
    channel_close(peer);
}
END_TEST

/* What waits already, in either direction, must not be overtaken. */
START_TEST(test_quick_exchange_keeps_the_order)
{
    struct channel *home, *peer;
    struct wire_frame frame;
    uint8_t payload[64] = {0}, got[64];
    struct iovec part = {payload, 16};
    pair_open(0, &home, &peer);
    ck_assert_int_eq(channel_send(home, WIRE_MAPPING, &part, 1), 0);
    ck_assert_int_eq(channel_wait(peer, NULL, 1000), 1);
    ck_assert_int_eq(channel_quick_exchange(peer, WIRE_CALL, payload, 64, WIRE_CALL_RESULT, got, 16),
                     CHANNEL_QUICK_REFUSED);
    ck_assert_int_eq(channel_receive(peer, &frame, got, sizeof got), 0);
    ck_assert_int_eq(channel_stage(peer, WIRE_MAPPING, 0, &part, 1), 0);
    ck_assert_int_eq(channel_quick_exchange(peer, WIRE_CALL, payload, 64, WIRE_CALL_RESULT, got, 16),
                     CHANNEL_QUICK_REFUSED);
    channel_close(home);
    ck_assert_int_eq(channel_flush(peer), 1);
    ck_assert_int_eq(
        channel_quick_exchange(peer, WIRE_CALL, payload, 64, WIRE_CALL_RESULT, got, 16) == CHANNEL_QUICK_ANSWERED, 0);
    channel_close(peer);
}
END_TEST

int main(void)
{
    TCase *waiting = tcase_create("waiting");
    tcase_add_loop_test(waiting, test_wait_times_out, 0, 2);
    tcase_add_loop_test(waiting, test_wait_interrupted, 0, 2);
    tcase_add_loop_test(waiting, test_receive_survives_signals, 0, 2);
    tcase_add_loop_test(waiting, test_one_processor_is_enough, 0, 2);
    tcase_add_loop_test(waiting, test_sleep_costs_nothing, 0, 2);
    tcase_add_loop_test(waiting, test_quick_exchange, 0, 2);
    tcase_add_test(waiting, test_quick_exchange_keeps_the_order);
    return channel_suite_run("channel_wait", &waiting, 1);
}
