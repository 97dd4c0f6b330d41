/*
 * Traces: what runtime/pager_trace.c records is what tests/simulate/trace.c reads, with what followed what.
 * links: runtime/pager_trace.c tests/simulate/trace.c
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/pager_private.h"
#include "tests/simulate/trace.h"

static uint64_t now_ns = 1000000;
static struct trace trace;
static char why[WIRE_MESSAGE_BYTES];

uint64_t pager_now_ns(void)
{
    return now_ns;
}

_Noreturn void pager_fatal(const char *format, ...)
{
    ck_abort_msg("%s", format);
    abort();
}

static int text_read(const char *text)
{
    FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    ck_assert_ptr_nonnull(file);
    int result = trace_read(file, 1000, &trace, why);
    fclose(file);
    return result;
}

START_TEST(recorded_and_read)
{
    char path[] = "/tmp/span-trace-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    pager_trace_request(1, 0x1000, true); /* before it was started: nothing */
    ck_assert_int_eq(pager_trace_start(), 0);
    ck_assert_int_eq(pager_trace_start(), -EALREADY);
    now_ns += 5000;
    pager_trace_request(1, 0x2000, true);
    pager_trace_grant(HOME_NODE, 0x2000, 'd'); /* home asked for nothing */
    now_ns += 5000;
    pager_trace_grant(1, 0x2000, 'z');
    pager_trace_request(HOME_NODE, 0x2000, false);
    pager_trace_request(HOME_NODE, 0x2000, false); /* another thread */
    now_ns += 5000;
    pager_trace_grant(HOME_NODE, 0x2000, 'd');
    pager_trace_grant(HOME_NODE, 0x2000, 'd'); /* nor again */
    pager_trace_range('d', 2, 0x2000, 1ull << 40);
    ck_assert_int_eq(pager_trace_write(path, 2), 0);
    pager_trace_forget();
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(trace_read(file, 0, &trace, why), 0);
    fclose(file);
    unlink(path);
    ck_assert_uint_eq(trace.node_count, 2);
    ck_assert_uint_eq(trace.asks, 2);
    ck_assert_uint_eq(trace.left_out, 0);
    ck_assert_uint_eq(trace.duration_ns, 10000);
    ck_assert_uint_eq(trace.actors[1].count, 1);
    ck_assert_uint_eq(trace.actors[HOME_NODE].count, 2);
    const struct trace_step *drop = &trace.actors[HOME_NODE].steps[1];
    ck_assert_int_eq(drop->kind, TRACE_DROP);
    ck_assert_uint_eq(drop->nodes, 2);
    ck_assert_uint_eq(drop->page, 0);
    ck_assert_uint_eq(drop->end, 1);
    ck_assert_uint_eq(drop->after, 0);
    ck_assert_int_eq(pager_trace_write("/nonexistent/trace", 2), -ENOENT);
    trace_free(&trace);
}
END_TEST

START_TEST(what_follows_what)
{
    ck_assert_int_eq(text_read("ld-span-trace 1 nodes 3 left-out 7\n"
                               "q 10000 1 500 r\n" /* both under way at once */
                               "q 10500 1 600 w\n"
                               "q 11000 2 500 r\n"
                               "g 20000 1 600 d\n"
                               "q 25000 1 700 w\n" /* after 600, 4 us later but for the way */
                               "g 26000 1 500 z\n"
                               "g 26500 1 900 d\n" /* unasked */
                               "q 26600 1 800 r\n" /* after 500, less than the way */
                               "g 27000 2 500 d\n"
                               "b 30000 6 400 600\n"),
                     0);
    ck_assert_uint_eq(trace.left_out, 7);
    ck_assert_uint_eq(trace.page_count, 4);
    const struct trace_actor *one = &trace.actors[1];
    ck_assert_uint_eq(one->count, 4);
    ck_assert_uint_eq(one->steps[0].after, TRACE_NONE);
    ck_assert_uint_eq(one->steps[1].after, TRACE_NONE);
    ck_assert_uint_eq(one->steps[1].think_ns, 500);
    ck_assert_uint_eq(one->steps[2].after, 1);
    ck_assert_uint_eq(one->steps[2].think_ns, 4000);
    ck_assert_uint_eq(one->steps[3].after, 0);
    ck_assert_uint_eq(one->steps[3].think_ns, 0);
    /* the lists say the same from the other end */
    ck_assert_uint_eq(one->first, 0);
    ck_assert_uint_eq(one->steps[0].next, 1);
    ck_assert_uint_eq(one->steps[1].next, TRACE_NONE);
    ck_assert_uint_eq(one->steps[1].first, 2);
    ck_assert_uint_eq(one->steps[0].first, 3);
    /* pages by number: 500, 600, 700, 800 */
    ck_assert(trace_page_shared(&trace.pages[0]) && !trace.pages[0].data);
    ck_assert(!trace_page_shared(&trace.pages[1]) && trace.pages[1].data);
    const struct trace_step *bring = &trace.actors[HOME_NODE].steps[0];
    ck_assert_int_eq(bring->kind, TRACE_BRING);
    ck_assert_uint_eq(bring->page, 0);
    ck_assert_uint_eq(bring->end, 2); /* 0x400 and 600 pages more: up to 0x657 */
    trace_free(&trace);
}
END_TEST

START_TEST(refused)
{
#define FIRST "ld-span-trace 1 nodes 2 left-out 0\n"
    static const char *const bad[] = {
        "x",
        "ld-span-trace 2 nodes 2 left-out 0\n",
        "ld-span-trace 1 nodes 0 left-out 0\n",
        "ld-span-trace 1 nodes 65 left-out 0\n",
        FIRST "q 1 1 500\n",
        FIRST "q 1 1 500 r more\n",
        FIRST "q 1 2 500 r\n",
        FIRST "q 1 1 500 z\n",
        FIRST "g 1 1 500 r\n",
        FIRST "g 1 1 500 zz\n",
        FIRST "k 1 1 500 r\n",
        FIRST "q 1 1 5 r\n",
        FIRST "q 1 1 700000000 r\n",
        FIRST "d 1 2 500 0\n",
        FIRST "d 1 2 500 4x\n",
        FIRST "q 2 1 500 r\nq 1 1 600 r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(text_read(bad[i]) == -EPROTO, "\"%s\" was read", bad[i]);
        ck_assert_int_eq(strncmp(why, "line ", 5), 0);
    }
    ck_assert_int_eq(text_read(FIRST), 0);
    ck_assert_uint_eq(trace.asks, 0);
    trace_free(&trace);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("traces");
    TCase *traces = tcase_create("traces");
    tcase_add_test(traces, recorded_and_read);
    tcase_add_test(traces, what_follows_what);
    tcase_add_test(traces, refused);
    suite_add_tcase(suite, traces);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
