/*
 * Packed frames come out as they went in, are made only where that is faster, and bad ones are refused.
 * links: runtime/pager_pack.c
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/pager_private.h"

void pager_fatal(const char *format, ...)
{
    (void)format;
    abort();
}

uint64_t pager_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct channel_link line;
static int line_error;

int channel_link(const struct channel *channel, struct channel_link *link)
{
    (void)channel;
    *link = line;
    return line_error;
}

static struct pager pager;
static uint8_t pages[16 * PAGE_BYTES];
static const struct wire_page head = {.page = 0x1234, .flags = WIRE_PAGE_DATA};

static void set_up(enum wire_compress compress)
{
    pager = (struct pager){.configuration = {.compress = compress}};
    line = (struct channel_link){0};
    line_error = 0;
    ck_assert_int_eq(pager_pack_open(&pager), 0);
    for (size_t i = 0; i < sizeof pages; i++)
        pages[i] = (uint8_t)("some text, again and again "[i % 27] + i / 4096);
}

static void noise(void)
{
    for (size_t i = 0; i < sizeof pages; i++)
        pages[i] = (uint8_t)(random() >> 8);
}

static size_t pack(size_t bytes, const void **out)
{
    return pager_pack(&pager, 1, &head, sizeof head, pages, bytes, out);
}

/* 10 ms later `bytes` have gone through, and so many wait. */
static size_t later(uint64_t bytes, uint32_t unsent, const void **out)
{
    line.acknowledged += bytes;
    line.unsent = unsent;
    pager.nodes[1].link.looked_ns = pager.nodes[1].link.since_ns = pager_now_ns() - 10000000;
    return pack(PAGE_BYTES, out);
}

START_TEST(what_was_packed_comes_out)
{
    set_up(WIRE_COMPRESS_ALWAYS);
    for (size_t count = 1; count <= 16; count++) {
        const void *payload;
        size_t bytes = pack(count * PAGE_BYTES, &payload);
        ck_assert_uint_gt(bytes, 0);
        ck_assert_uint_lt(bytes, count * PAGE_BYTES);
        struct wire_frame frame = {.bytes = (uint32_t)bytes, .type = WIRE_PAGE_GRANT, .flags = WIRE_FRAME_PACKED};
        ck_assert_int_eq(pager_unpack(&pager, &frame, &payload), 0);
        ck_assert_uint_eq(frame.bytes, sizeof head + count * PAGE_BYTES);
        ck_assert_uint_eq(frame.flags, 0);
        ck_assert_mem_eq(payload, &head, sizeof head);
        ck_assert_mem_eq((const uint8_t *)payload + sizeof head, pages, count * PAGE_BYTES);
    }
    ck_assert_uint_gt(pager.bytes_saved, 0);
    pager_pack_close(&pager);
}
END_TEST

START_TEST(noise_goes_as_it_is)
{
    const void *payload;
    set_up(WIRE_COMPRESS_ALWAYS);
    noise();
    ck_assert_uint_eq(pack(PAGE_BYTES, &payload), 0);
    ck_assert_uint_eq(pager.bytes_saved, 0);
    pager_pack_close(&pager);
}
END_TEST

START_TEST(bad_frames_are_refused)
{
    set_up(WIRE_COMPRESS_ALWAYS);
    const void *good;
    size_t bytes = pack(PAGE_BYTES, &good);
    static uint8_t bad[2 * PAGE_BYTES];
    for (unsigned round = 0; round < 20000; round++) {
        memcpy(bad, good, bytes);
        size_t cut = (size_t)random() % (bytes + 1);
        unsigned changes = (unsigned)random() % 4;
        for (unsigned i = 0; i < changes; i++)
            bad[(size_t)random() % (i == 0 ? sizeof(struct wire_packed) : bytes)] = (uint8_t)random();
        struct wire_frame frame = {.bytes = (uint32_t)cut, .type = WIRE_PAGE_GRANT, .flags = WIRE_FRAME_PACKED};
        const void *payload = bad;
        int result = pager_unpack(&pager, &frame, &payload);
        ck_assert(result == 0 || result == -EPROTO);
        ck_assert(result != 0 || frame.bytes <= WIRE_FRAME_BYTES_MAX);
    }
    struct wire_frame plain = {.bytes = 3, .type = WIRE_PAGE_GRANT};
    const void *payload = bad;
    ck_assert_int_eq(pager_unpack(&pager, &plain, &payload), 0);
    ck_assert_ptr_eq(payload, bad);
    pager_pack_close(&pager);
}
END_TEST

START_TEST(only_slow_links_are_worth_it)
{
    const void *payload;
    set_up(WIRE_COMPRESS_AUTO);
    ck_assert_uint_eq(later(100000, 0, &payload), 0);        /* nothing is known */
    ck_assert_uint_gt(later(100000, 1u << 20, &payload), 0); /* it does not keep up */
    ck_assert_uint_eq(later(100000, 0, &payload), 0);
    later(100000, 1u << 20, &payload);
    ck_assert_uint_gt(later(100000, 1u << 20, &payload), 0); /* 10 MB/s */
    ck_assert_uint_gt(later(100000, 0, &payload), 0);        /* which it still has */
    for (unsigned i = 0; i < 50; i++)
        later(100000000, 1u << 20, &payload); /* 10 GB/s */
    for (unsigned i = 0; i < 200; i++)
        ck_assert_uint_eq(later(100000, 0, &payload), 0);
    pager.nodes[1].link.rate = 1000000;
    pager.configuration.nodes_here = 2;
    ck_assert_uint_eq(later(100000, 1u << 20, &payload), 0); /* the same machine */
    pager.configuration.nodes_here = 0;
    ck_assert_uint_gt(later(100000, 1u << 20, &payload), 0);
    line_error = -ENOTSUP;
    pager.nodes[1].link = (struct pager_link){0};
    ck_assert_uint_eq(later(100000, 1u << 20, &payload), 0);
    pager_pack_close(&pager);
    set_up(WIRE_COMPRESS_NEVER);
    ck_assert_uint_eq(later(1000, 1u << 30, &payload) + later(1000, 1u << 30, &payload), 0);
    pager_pack_close(&pager);
}
END_TEST

START_TEST(rates_take_two_round_trips_and_grow_when_nothing_waits)
{
    const void *payload;
    set_up(WIRE_COMPRESS_AUTO);
    line.round_trip_us = 20000;
    later(1000, 1u << 20, &payload);
    later(1000, 1u << 20, &payload); /* acknowledgements come in bursts */
    ck_assert_uint_eq(pager.nodes[1].link.rate, 0);
    line.round_trip_us = 1000;
    later(100000, 1u << 20, &payload);
    uint64_t rate = pager.nodes[1].link.rate;
    ck_assert_uint_gt(rate, 5000000);
    later(100000, 0, &payload);
    ck_assert_uint_eq(pager.nodes[1].link.rate, rate);
    for (unsigned i = 0; i < 40; i++) {
        pager.nodes[1].link.rate_ns = pager_now_ns() - 2000000000;
        later(100000, 0, &payload);
    }
    ck_assert_uint_gt(pager.nodes[1].link.rate, 1000 * rate);
    pager_pack_close(&pager);
}
END_TEST

START_TEST(noise_is_tried_seldom_and_text_again)
{
    const void *payload;
    set_up(WIRE_COMPRESS_AUTO);
    pager.nodes[1].link.rate = 10000000;
    noise();
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_uint_eq(pack(PAGE_BYTES, &payload), 0);
    memset(pages, 'x', sizeof pages);
    unsigned packed = 0;
    for (unsigned i = 0; i < 64 * 40; i++)
        packed += pack(PAGE_BYTES, &payload) != 0;
    ck_assert_uint_gt(packed, 64 * 20);
    pager_pack_close(&pager);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pager pack");
    TCase *tests = tcase_create("frames");
    tcase_add_test(tests, what_was_packed_comes_out);
    tcase_add_test(tests, noise_goes_as_it_is);
    tcase_add_test(tests, bad_frames_are_refused);
    tcase_add_test(tests, only_slow_links_are_worth_it);
    tcase_add_test(tests, rates_take_two_round_trips_and_grow_when_nothing_waits);
    tcase_add_test(tests, noise_is_tried_seldom_and_text_again);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
