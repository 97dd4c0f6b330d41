/*
 * Sets of addresses behave as a bitmap does.
 * links: runtime/pager_ranges.c
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/pager_private.h"

void pager_fatal(const char *format, ...)
{
    (void)format;
    abort();
}

#define SET_PAGES 64u

START_TEST(ranges_agree_with_a_bitmap)
{
    struct pager_ranges ranges = {0};
    bool there[SET_PAGES + 1] = {false};
    unsigned random = 1;
    for (unsigned round = 0; round < 2000; round++) {
        random = random * 1103515245u + 12345u;
        unsigned start = random >> 16 & (SET_PAGES - 1), length = 1 + (random >> 24 & 7);
        unsigned end = start + length < SET_PAGES ? start + length : SET_PAGES;
        bool add = (random >> 22 & 1) != 0;
        if (add)
            ck_assert_int_eq(pager_ranges_add(&ranges, start * PAGE_BYTES, end * PAGE_BYTES), 0);
        else
            pager_ranges_remove(&ranges, start * PAGE_BYTES, end * PAGE_BYTES);
        memset(there + start, add, end - start);
        for (unsigned page = SET_PAGES; page-- > 0;) {
            unsigned last = page;
            while (there[last])
                last++;
            ck_assert_uint_eq(pager_ranges_end(&ranges, page * PAGE_BYTES + 1), there[page] ? last * PAGE_BYTES : 0);
        }
    }
    free(ranges.ranges);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pager ranges");
    TCase *tests = tcase_create("sets");
    tcase_add_test(tests, ranges_agree_with_a_bitmap);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
