/*
 * The engine of coprocessor streams, rule by rule, in front of a coprocessor that does nothing but
 * can be held.
 */
/* links: $(COPROC_ENGINE) */
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/coproc/mock_device.h"

static struct coproc_engine *engine;
static struct mock_device mock;
static struct coproc_queue *first, *second, *loose;
static struct coproc_memory *a, *b;

static void start(unsigned chain_depth)
{
    struct coproc_settings settings = {.mode = COPROC_ASIF};
    memset(&mock, 0, sizeof mock);
    mock.driver.chain_depth = chain_depth;
    engine = coproc_engine_new(&settings);
    mock_start(&mock, engine, 1);
    first = coproc_queue_new(mock.device, true, false);
    second = coproc_queue_new(mock.device, true, false);
    loose = coproc_queue_new(mock.device, false, false);
    a = coproc_memory_new(engine, 4096);
    b = coproc_memory_new(engine, 4096);
}

static void setup(void)
{
    start(1);
}

static void teardown(void)
{
    mock_hold(&mock, false);
    coproc_drain(engine);
    coproc_queue_free(first);
    coproc_queue_free(second);
    coproc_queue_free(loose);
    coproc_memory_free(a);
    coproc_memory_free(b);
    coproc_engine_free(engine);
    mock_end(&mock);
}

static struct coproc_command *make(struct coproc_queue *queue, struct coproc_memory *memory, unsigned access,
                                   unsigned flags)
{
    struct coproc_command *command = coproc_command_new(engine, queue, flags, "test");
    if (memory)
        coproc_command_access(command, memory, 0, 4096, access);
    return command;
}

static struct coproc_command *put(struct coproc_queue *queue, struct coproc_memory *memory, unsigned access,
                                  unsigned flags)
{
    struct coproc_command *command = make(queue, memory, access, flags);
    coproc_command_enqueue(command);
    return command;
}

static bool submitted_soon(unsigned count)
{
    for (unsigned i = 0; i < 2000 && mock_submitted(&mock) < count; i++)
        usleep(1000);
    usleep(2000); /* no more than that */
    return mock_submitted(&mock) == count;
}

START_TEST(test_wait_is_answered_early)
{
    mock_hold(&mock, true);
    struct coproc_command *command = put(first, a, COPROC_WRITE, 0);
    ck_assert_int_eq(coproc_wait_queue(first, COPROC_WAIT_MODE), 0);
    int status;
    ck_assert(!coproc_command_retired(command));
    ck_assert_int_eq(coproc_command_state(command, &status), COPROC_COMPLETE);
    /* Independent work overtakes it, what depends on it does not. */
    struct coproc_command *independent = put(second, b, COPROC_WRITE, 0);
    struct coproc_command *dependent = put(second, a, COPROC_READ, 0);
    ck_assert(submitted_soon(2));
    mock_hold(&mock, false);
    ck_assert_int_eq(coproc_wait_commands(&dependent, 1, COPROC_WAIT_REAL), 0);
    ck_assert(coproc_command_retired(command) && coproc_command_retired(independent));
    coproc_command_unref(command);
    coproc_command_unref(independent);
    coproc_command_unref(dependent);
}
END_TEST

START_TEST(test_unordered_queues_stay_so)
{
    mock_hold(&mock, true);
    coproc_command_unref(put(first, a, COPROC_WRITE, 0));
    coproc_command_unref(put(second, a, COPROC_WRITE, 0));
    coproc_command_unref(put(loose, a, COPROC_WRITE, 0));
    coproc_command_unref(put(loose, a, COPROC_WRITE, 0));
    ck_assert(submitted_soon(4));
}
END_TEST

START_TEST(test_unknown_is_a_full_barrier)
{
    mock_hold(&mock, true);
    coproc_command_unref(put(first, a, COPROC_READ, 0));
    coproc_command_unref(put(first, NULL, 0, COPROC_UNKNOWN));
    coproc_command_unref(put(first, b, COPROC_READ, 0));
    ck_assert(submitted_soon(1));
}
END_TEST

START_TEST(test_events_retire_in_order)
{
    mock_hold(&mock, true);
    struct coproc_command *slow = put(first, a, COPROC_WRITE, 0), *quick = make(first, NULL, 0, COPROC_LOCAL);
    coproc_command_enqueue(quick);
    struct coproc_command *waiter = make(second, b, COPROC_WRITE, 0);
    coproc_command_wait(waiter, quick);
    coproc_command_enqueue(waiter);
    int status;
    ck_assert_int_eq(coproc_command_state(quick, &status), COPROC_QUEUED);
    ck_assert(submitted_soon(1));
    mock_hold(&mock, false);
    coproc_wait_commands(&waiter, 1, COPROC_WAIT_REAL);
    ck_assert(coproc_command_retired(slow));
    coproc_command_unref(slow);
    coproc_command_unref(quick);
    coproc_command_unref(waiter);
}
END_TEST

static void store(struct coproc_command *command, void *where)
{
    (void)command;
    *(int *)where += 1;
}

START_TEST(test_visible_work_is_waited_for)
{
    int host = 0;
    struct coproc_command *command = make(first, a, COPROC_READ, COPROC_HOST_VISIBLE);
    *mock_work(command) = (struct mock_work){.run = store, .argument = &host, .delay_us = 5000};
    coproc_command_enqueue(command);
    coproc_wait_queue(first, COPROC_WAIT_MODE);
    ck_assert_int_eq(host, 1);
    coproc_command_unref(command);
}
END_TEST

START_TEST(test_gate)
{
    struct coproc_command *gate = coproc_command_new(engine, NULL, COPROC_GATE, "gate");
    struct coproc_command *behind = make(first, a, COPROC_WRITE, 0);
    coproc_command_wait(behind, gate);
    coproc_command_enqueue(behind);
    struct coproc_command *later = put(first, b, COPROC_WRITE, 0), *beside = put(second, a, COPROC_WRITE, 0);
    ck_assert(coproc_command_gated(behind) && coproc_command_gated(later) && !coproc_command_gated(beside));
    ck_assert(submitted_soon(1));
    coproc_drain(engine); /* what is behind a shut gate is left */
    ck_assert(!coproc_command_retired(behind) && coproc_command_retired(beside));
    /* More than the window: the host is the only one who can go on. */
    for (unsigned i = 0; i < 3 * COPROC_WINDOW_HIGH; i++)
        coproc_command_unref(put(first, a, COPROC_WRITE, 0));
    coproc_command_done(gate, 0);
    ck_assert_int_eq(coproc_wait_queue(first, COPROC_WAIT_MODE), 0);
    coproc_command_unref(gate);
    coproc_command_unref(behind);
    coproc_command_unref(later);
    coproc_command_unref(beside);
}
END_TEST

START_TEST(test_failures)
{
    struct coproc_command *bad = make(first, a, COPROC_WRITE, 0), *waiter = make(second, a, COPROC_WRITE, 0);
    mock_work(bad)->status = -5;
    mock_work(bad)->delay_us = 1000;
    coproc_command_enqueue(bad);
    coproc_command_wait(waiter, bad);
    coproc_command_enqueue(waiter);
    coproc_wait_queue(first, COPROC_WAIT_MODE);
    ck_assert_int_eq(coproc_wait_commands(&waiter, 1, COPROC_WAIT_REAL), COPROC_STATUS_WAIT);
    int status;
    ck_assert_int_eq(coproc_command_state(bad, &status), COPROC_COMPLETE);
    ck_assert_int_eq(status, -5);
    ck_assert_int_eq(coproc_wait_queue(first, COPROC_WAIT_REAL), -5);
    ck_assert_int_eq(coproc_wait_queue(first, COPROC_WAIT_REAL), 0);
    struct coproc_command *refused = make(first, a, COPROC_WRITE, 0);
    mock_work(refused)->submit_status = -6;
    coproc_command_enqueue(refused);
    ck_assert_int_eq(coproc_wait_commands(&refused, 1, COPROC_WAIT_REAL), -6);
    coproc_command_unref(bad);
    coproc_command_unref(waiter);
    coproc_command_unref(refused);
}
END_TEST

START_TEST(test_window_holds_the_host_back)
{
    struct coproc_counts counts;
    for (unsigned i = 0; i < 1000; i++) {
        struct coproc_command *command = make(first, a, COPROC_WRITE, 0);
        mock_work(command)->delay_us = 20;
        coproc_command_enqueue(command);
        coproc_command_unref(command);
        coproc_engine_counts(engine, &counts);
        ck_assert_uint_le(counts.live, COPROC_WINDOW_HIGH);
    }
    coproc_wait_queue(first, COPROC_WAIT_REAL);
    ck_assert_uint_eq(mock.deepest, 1); /* only ready commands */
}
END_TEST

START_TEST(test_million_launches_in_bounded_memory)
{
    teardown();
    start(8);
    mock.inside = true;
    struct coproc_counts counts;
    for (unsigned i = 0; i < 1000000; i++) {
        struct coproc_command *command = coproc_command_new(engine, i & 1 ? first : loose, 0, "launch");
        coproc_command_access(command, a, i % 64 * 64, 64, i % 3 ? COPROC_WRITE : COPROC_READ);
        coproc_command_access(command, b, i * 7 % 4000, 96, COPROC_READ);
        coproc_command_enqueue(command);
        coproc_command_unref(command);
        if (i % 16 == 0)
            coproc_wait_queue(first, COPROC_WAIT_MODE);
    }
    coproc_engine_counts(engine, &counts);
    ck_assert_uint_eq(counts.enqueued, 1000000);
    ck_assert_uint_le(counts.commands_held, 256);
    ck_assert_uint_le(counts.intervals, 1024);
}
END_TEST

START_TEST(test_staging)
{
    void *pieces[256];
    unsigned count = 0;
    ck_assert_ptr_null(coproc_stage_take(engine, COPROC_STAGE_CHUNK_MAX + 1));
    while (count < 256 && (pieces[count] = coproc_stage_take(engine, COPROC_STAGE_CHUNK_MAX)))
        memset(pieces[count++], 1, COPROC_STAGE_CHUNK_MAX);
    ck_assert_uint_eq(count, COPROC_STAGE_BYTES / COPROC_STAGE_CHUNK_MAX);
    coproc_stage_give(engine, pieces[3], COPROC_STAGE_CHUNK_MAX);
    ck_assert_ptr_eq(coproc_stage_take(engine, COPROC_STAGE_CHUNK_MAX), pieces[3]);
}
END_TEST

static void bury(void *object)
{
    *(int *)object = 1;
}

START_TEST(test_burial)
{
    int gone = 0, soon = 0;
    mock_hold(&mock, true);
    struct coproc_command *command = put(first, a, COPROC_WRITE, 0);
    coproc_bury(engine, bury, &gone);
    ck_assert_int_eq(gone, 0);
    mock_hold(&mock, false);
    coproc_wait_commands(&command, 1, COPROC_WAIT_REAL);
    coproc_drain(engine);
    coproc_bury(engine, bury, &soon);
    ck_assert_int_eq(gone, 1);
    ck_assert_int_eq(soon, 1);
    coproc_command_unref(command);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("coproc_engine");
    TCase *rules = tcase_create("rules");
    tcase_set_timeout(rules, 60);
    tcase_add_checked_fixture(rules, setup, teardown);
    tcase_add_test(rules, test_wait_is_answered_early);
    tcase_add_test(rules, test_unordered_queues_stay_so);
    tcase_add_test(rules, test_unknown_is_a_full_barrier);
    tcase_add_test(rules, test_events_retire_in_order);
    tcase_add_test(rules, test_visible_work_is_waited_for);
    tcase_add_test(rules, test_gate);
    tcase_add_test(rules, test_failures);
    tcase_add_test(rules, test_window_holds_the_host_back);
    tcase_add_test(rules, test_million_launches_in_bounded_memory);
    tcase_add_test(rules, test_staging);
    tcase_add_test(rules, test_burial);
    suite_add_tcase(suite, rules);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
