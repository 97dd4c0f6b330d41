/*
 * Statistics: percentiles of histograms, the table, and JSON that others can read.
 * links: monitor/statistics.c monitor/fatal.c
 */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/statistics.h"

static struct wire_statistics nodes[9];
static const char *const names[9] = {"home", "local-1", "an-address-that-is-long:7171", "n3", "n4", "n5", "n6",
                                     "n7",   "n8"};

static struct statistics_session session_make(unsigned count)
{
    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < count; i++) {
        /* Every member has another value, so that none can be taken for another. */
        uint64_t *words = (uint64_t *)&nodes[i];
        for (unsigned word = 0; word < sizeof nodes[i] / sizeof *words; word++)
            words[word] = word * 10 + i;
        memset(nodes[i].fault_latency, 0, sizeof nodes[i].fault_latency);
        nodes[i].cpu_system_us = 0;
        nodes[i].cpu_user_us = 3000000;
        nodes[i].threads_run = i + 1;
        nodes[i].bytes_in = 123456789;
        nodes[i].fault_latency[14] = 90;
        nodes[i].fault_latency[20] = 10;
    }
    nodes[0].cpu_system_us = 1000000;
    nodes[1].calls_forwarded = 77;
    return (struct statistics_session){
        .program = "a \"program\"",
        .pid = 42,
        .node_count = count,
        .names = names,
        .nodes = nodes,
        .wall_seconds = 3.25,
    };
}

START_TEST(percentiles)
{
    uint64_t buckets[WIRE_LATENCY_BUCKETS] = {0};
    ck_assert_uint_eq(statistics_percentile(buckets, 50), 0);
    buckets[10] = 100;
    ck_assert_uint_ge(statistics_percentile(buckets, 1), 1024);
    ck_assert_uint_eq(statistics_percentile(buckets, 50), 1024 + 512);
    ck_assert_uint_eq(statistics_percentile(buckets, 100), 2048);
    buckets[20] = 2;
    ck_assert_uint_le(statistics_percentile(buckets, 90), 2048);
    ck_assert_uint_ge(statistics_percentile(buckets, 99), 1u << 20);
    memset(buckets, 0, sizeof buckets);
    buckets[WIRE_LATENCY_BUCKETS - 1] = 1;
    ck_assert_uint_eq(statistics_percentile(buckets, 50), 1ull << WIRE_LATENCY_BUCKETS);
    buckets[0] = 1;
    ck_assert_uint_eq(statistics_percentile(buckets, 50), 2);
}
END_TEST

START_TEST(json_is_complete)
{
    struct statistics_session session = session_make(2);
    char *text = statistics_json(&session);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_null(strchr(text, '\n'));
    json_t *all = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(all);
    ck_assert_str_eq(json_string_value(json_object_get(all, "program")), session.program);
    ck_assert_int_eq(json_integer_value(json_object_get(all, "pid")), 42);
    json_t *list = json_object_get(all, "nodes");
    ck_assert_uint_eq(json_array_size(list), 2);
    json_t *home = json_array_get(list, 0), *peer = json_array_get(list, 1);
    ck_assert_int_eq(json_integer_value(json_object_get(home, "cpu_system_us")), 1000000);
    ck_assert_double_eq_tol(json_number_value(json_object_get(home, "cpu_share_percent")), 400.0 / 7, 1e-9);
    ck_assert_int_eq(json_integer_value(json_object_get(peer, "calls_forwarded")), 77);
    json_t *latency = json_object_get(peer, "fault_latency_ns");
    ck_assert_int_eq(json_integer_value(json_object_get(latency, "count")), 100);
    ck_assert_uint_eq(json_array_size(json_object_get(latency, "buckets")), WIRE_LATENCY_BUCKETS);
    /* spanctl reads back all that the wire has. */
    struct wire_statistics back;
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(statistics_read_node(json_array_get(list, i), &back), 0);
        ck_assert_mem_eq(&back, &nodes[i], sizeof back);
    }
    ck_assert_int_lt(statistics_read_node(list, &back), 0);
    json_decref(all);
    free(text);
}
END_TEST

START_TEST(table_has_every_node)
{
    struct statistics_session session = session_make(9);
    char *text = statistics_text(&session);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(strstr(text, "home"));
    ck_assert_ptr_nonnull(strstr(text, "n8"));
    unsigned tables = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        tables += strstr(line, "share of the work") != NULL;
        ck_assert_uint_le(strlen(line), 20 + 8 * 15);
    }
    ck_assert_uint_eq(tables, 2);
    free(text);
}
END_TEST

START_TEST(nothing_measured)
{
    struct statistics_session session = session_make(0);
    session.node_count = 1;
    session.program = NULL;
    char *text = statistics_text(&session), *json = statistics_json(&session);
    ck_assert_ptr_nonnull(text);
    ck_assert_ptr_nonnull(json);
    ck_assert_ptr_null(strstr(json, "nan"));
    free(text);
    free(json);
}
END_TEST

START_TEST(json_file_is_replaced)
{
    struct statistics_session session = session_make(2);
    char path[] = "/tmp/statistics-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "old", 3), 3);
    close(fd);
    ck_assert_int_eq(statistics_write_json(&session, path), 0);
    json_t *all = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(all);
    json_decref(all);
    ck_assert_int_lt(statistics_write_json(&session, "/nowhere/file"), 0);
    ck_assert_int_eq(statistics_write_json(&session, "/dev/null"), 0);
    ck_assert_int_eq(access("/dev/null", F_OK), 0);
    /* A link stays one: /dev/stdout must survive. */
    char link[64];
    snprintf(link, sizeof link, "%s.link", path);
    ck_assert_int_eq(symlink(path, link), 0);
    ck_assert_int_eq(statistics_write_json(&session, link), 0);
    ck_assert_int_gt(readlink(link, (char[64]){0}, 64), 0);
    unlink(link);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("statistics");
    TCase *tests = tcase_create("statistics");
    tcase_add_test(tests, percentiles);
    tcase_add_test(tests, json_is_complete);
    tcase_add_test(tests, table_has_every_node);
    tcase_add_test(tests, nothing_measured);
    tcase_add_test(tests, json_file_is_replaced);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
