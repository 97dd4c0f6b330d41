/*
 * The mirror: ranges are registered before they can be touched, protections are total, drops and
 * stale answers.
 */
/* links: monitor/mirror.c monitor/fatal.c */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "monitor/mirror.h"
#include "runtime/pager.h"

#define BASE  0x100000000000ul
#define PAGES 64u
#define RW    (PROT_READ | PROT_WRITE)

static struct model {
    bool mapped, file;
    uint32_t protection;
} model[PAGES];
static bool registered[PAGES], registered_file[PAGES];
static int register_error;

static sigjmp_buf trap;
static void on_signal(int signal)
{
    siglongjmp(trap, signal);
}
static bool touch(uint64_t address, bool write)
{
    volatile uint8_t *byte = (volatile uint8_t *)address;
    if (sigsetjmp(trap, 1))
        return false;
    if (write)
        *byte = 1;
    else
        (void)*byte;
    return true;
}

static void note(bool pages[PAGES], uint64_t start, uint64_t bytes)
{
    for (uint64_t at = start; at < start + bytes; at += PAGE_BYTES) {
        if (at < BASE || at >= BASE + PAGES * PAGE_BYTES)
            continue;
        /* Nobody can have touched it, and nobody can now. */
        ck_assert(!touch(at, false) && !touch(at, true));
        ck_assert(!registered[(at - BASE) / PAGE_BYTES] && !registered_file[(at - BASE) / PAGE_BYTES]);
        pages[(at - BASE) / PAGE_BYTES] = true;
    }
}
int pager_register(uint64_t start, uint64_t bytes)
{
    if (register_error == 0)
        note(registered, start, bytes);
    return register_error;
}
int pager_register_file(uint64_t start, uint64_t bytes)
{
    note(registered_file, start, bytes);
    return 0;
}

static void compare(void)
{
    for (unsigned page = 0; page < PAGES; page++) {
        const struct model *wanted = &model[page];
        uint64_t address = BASE + page * PAGE_BYTES + 16;
        ck_assert_int_eq(registered[page], wanted->mapped && !wanted->file);
        ck_assert_int_eq(registered_file[page], wanted->mapped && wanted->file);
        for (uint32_t protection = 1; protection < 8; protection++)
            ck_assert_int_eq(mirror_allows(address, protection),
                             wanted->mapped && (wanted->protection & protection) == protection);
        ck_assert_int_eq(touch(address, false), wanted->mapped && wanted->protection != 0);
        ck_assert_int_eq(touch(address, true), wanted->mapped && (wanted->protection & PROT_WRITE));
    }
}

static void begin(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    mirror_initialise();
}

static struct wire_mapping answer(unsigned page, unsigned count, uint32_t protection, bool file)
{
    return (struct wire_mapping){.start = BASE + page * PAGE_BYTES,
                                 .end = BASE + (page + count) * PAGE_BYTES,
                                 .protection = protection,
                                 .kind = file ? WIRE_MAPPING_FILE : WIRE_MAPPING_MEMORY};
}
static struct wire_range range(unsigned page, unsigned count, uint32_t protection)
{
    return (struct wire_range){
        .start = BASE + page * PAGE_BYTES, .end = BASE + (page + count) * PAGE_BYTES, .protection = protection};
}

START_TEST(random_messages)
{
    static const uint32_t protections[] = {PROT_READ, RW, RW | PROT_EXEC, PROT_READ | PROT_EXEC, PROT_NONE};
    begin();
    unsigned seed = getenv("MIRROR_SEED") ? (unsigned)atoi(getenv("MIRROR_SEED")) : (unsigned)time(NULL);
    fprintf(stderr, "MIRROR_SEED=%u\n", seed);
    srandom(seed);
    for (unsigned step = 0; step < 2000; step++) {
        unsigned page = (unsigned)random() % PAGES, count = 1 + (unsigned)random() % 16;
        if (page + count > PAGES)
            count = PAGES - page;
        uint32_t protection = protections[random() % 5];
        bool file = random() % 3 == 0, clash = false;
        uint64_t generation = mirror_generation();
        if (random() % 2) {
            if (file)
                protection &= ~(uint32_t)PROT_WRITE;
            for (unsigned i = page; i < page + count; i++)
                clash |= model[i].mapped && model[i].file != file;
            if (clash)
                continue;
            struct wire_mapping mapping = answer(page, count, protection, file);
            ck_assert_int_eq(mirror_add(&mapping), 0);
            for (unsigned i = page; i < page + count; i++)
                model[i] = (struct model){true, file, protection};
            ck_assert_uint_eq(mirror_generation(), generation);
        } else {
            bool drop = random() % 2;
            struct wire_range message = range(page, count, protection & ~(uint32_t)PROT_WRITE);
            mirror_range(drop ? WIRE_RANGE_DROP : WIRE_RANGE_PROTECT, &message);
            for (unsigned i = page; i < page + count; i++) {
                if (drop)
                    model[i].mapped = registered[i] = registered_file[i] = false;
                else
                    model[i].protection = message.protection;
            }
            ck_assert_uint_ne(mirror_generation(), generation);
        }
        compare();
    }
}
END_TEST

START_TEST(an_answer_older_than_a_drop_is_not_mapped)
{
    begin();
    struct wire_mapping mapping = answer(3, 5, RW, false);
    struct wire_range drop = range(50, 1, 0);
    uint64_t generation = mirror_generation();
    mirror_range(WIRE_RANGE_DROP, &drop);
    ck_assert_int_eq(mirror_add_current(&mapping, generation), -EAGAIN);
    compare();
    ck_assert_int_eq(mirror_add_current(&mapping, mirror_generation()), 0);
    ck_assert(mirror_allows(mapping.start, RW) && mirror_allows(mapping.end - 1, RW) && !mirror_allows(mapping.end, 0));
}
END_TEST

START_TEST(malformed_answers_are_refused)
{
    begin();
    struct wire_mapping mapping = answer(0, 1, RW, false);
    ck_assert_int_eq(mirror_add(&mapping), 0);
    model[0] = (struct model){true, false, RW};
    const struct wire_mapping bad[] = {
        answer(0, 1, PROT_READ, true), /* another kind without a drop */
        answer(5, 1, RW, true),
        answer(5, 0, RW, false),
        answer(5, 1, 0x80, false),
        {.start = BASE + 1, .end = BASE + PAGE_BYTES, .kind = WIRE_MAPPING_MEMORY},
        {.start = 0, .end = PAGE_BYTES, .kind = WIRE_MAPPING_MEMORY},
        {.start = SPAN_ZONE_END, .end = SPAN_ZONE_END + PAGE_BYTES, .kind = WIRE_MAPPING_MEMORY},
        {.start = BASE + PAGE_BYTES, .end = BASE + 2 * PAGE_BYTES, .kind = WIRE_MAPPING_PINNED},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(mirror_add(&bad[i]) == -EPROTO, "answer %u is taken", i);
    compare();
}
END_TEST

START_TEST(what_cannot_be_registered_is_not_mapped)
{
    begin();
    register_error = -ENOMEM;
    struct wire_mapping mapping = answer(3, 5, RW, false);
    ck_assert_int_eq(mirror_add(&mapping), -ENOMEM);
    compare();
    register_error = 0;
    ck_assert_int_eq(mirror_add(&mapping), 0);
    /* Memory of others is never replaced. */
    uint64_t foreign = BASE + 70 * PAGE_BYTES;
    ck_assert_ptr_eq(mmap((void *)foreign, PAGE_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     (void *)foreign);
    mapping = answer(69, 3, RW, false);
    ck_assert_int_eq(mirror_add(&mapping), -EEXIST);
    ck_assert(touch(foreign, true) && !mirror_allows(BASE + 69 * PAGE_BYTES, PROT_READ));
}
END_TEST

static void *add_many(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 2000; i++) {
        struct wire_mapping mapping = answer(100 + i % 50, 2, RW, false);
        int error = mirror_add_current(&mapping, mirror_generation());
        if (error != 0 && error != -EAGAIN)
            return (void *)1;
        mirror_allows(mapping.start, PROT_READ);
    }
    return NULL;
}

START_TEST(threads_and_the_loop)
{
    begin();
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (unsigned i = 0; i < 2000; i++) {
        struct wire_range message = range(100 + i % 50, 3, PROT_READ);
        mirror_range(i % 2 ? WIRE_RANGE_DROP : WIRE_RANGE_PROTECT, &message);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, NULL);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mirror");
    TCase *tests = tcase_create("mirror");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, random_messages);
    tcase_add_test(tests, an_answer_older_than_a_drop_is_not_mapped);
    tcase_add_test(tests, malformed_answers_are_refused);
    tcase_add_test(tests, what_cannot_be_registered_is_not_mapped);
    tcase_add_test(tests, threads_and_the_loop);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
