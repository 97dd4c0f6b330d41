/*
 * Site patching while other threads run the code: 1000 sites under three threads that call them all
 * the time, and the kernel returning into windows that change. Not for shapes (test_patch.c).
 *
 * links: $(filter syscall/patch%,$(PARTS)) tests/unit/patch_world.c tests/unit/patch_shapes.S
 */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "syscall/patch.h"
#include "tests/unit/patch_world.h"

#define SITES   1000
#define THREADS 3

typedef long (*site_function)(long, long, long);
extern const char shape_many[];

static _Atomic unsigned at; /* the site being patched */
static _Atomic bool stop;
static _Atomic unsigned ready;
static long pid;

static site_function many(unsigned i)
{
    return (site_function)(uint64_t)(shape_many + i * 32ul);
}

static void *caller(void *argument)
{
    static _Thread_local struct fake_thread fake;
    uint64_t rounds = 0;
    world_thread(&fake);
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&stop)) {
        unsigned now = atomic_load(&at);
        for (unsigned i = 0; i < 4; i++) {
            if (many((now + i) % SITES)(0, 0, 0) != pid)
                abort();
        }
        rounds++;
    }
    for (unsigned i = 0; i < SITES; i++) {
        uint64_t before = fake.calls;
        if (many(i)(0, 0, 0) != pid || fake.calls != before + 1)
            abort();
    }
    *(uint64_t *)argument = rounds;
    return NULL;
}

START_TEST(thousand_sites_in_use)
{
    pthread_t threads[THREADS];
    uint64_t rounds[THREADS];
    pid = getpid();
    world_start(true);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, caller, &rounds[i]), 0);
    while (atomic_load(&ready) < THREADS)
        sched_yield();
    for (unsigned i = 0; i < SITES; i++) {
        atomic_store(&at, i);
        if (i % 16 == 0)
            sched_yield(); /* a time slice for each caller when processors are few */
        uint64_t site = (uint64_t)many(i) + (i % 2 == 0 ? 3 : 5);
        ck_assert_int_eq(patch_site(site), PATCH_DONE);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_gt(rounds[i], 0);
    }
    uint64_t done, doubtful;
    patch_counters(&done, &doubtful);
    ck_assert_uint_eq(done, SITES);
    ck_assert_uint_eq(doubtful, 0);
}
END_TEST

/* Threads ask for the same sites at once: each is patched once, nobody waits. */
static void *patcher(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < SITES; i++) {
        uint64_t site = (uint64_t)many(i) + (i % 2 == 0 ? 3 : 5);
        enum patch_result result;
        while ((result = patch_site(site)) == PATCH_AGAIN)
            sched_yield();
        if (result != PATCH_DONE)
            abort();
    }
    return NULL;
}

START_TEST(patchers_at_once)
{
    pthread_t threads[THREADS];
    static struct fake_thread fake;
    pid = getpid();
    world_start(true);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, patcher, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    world_thread(&fake);
    for (unsigned i = 0; i < SITES; i++)
        ck_assert_int_eq(many(i)(0, 0, 0), pid);
    ck_assert_uint_eq(fake.calls, SITES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patch_threads");
    TCase *cases = tcase_create("threads");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, thousand_sites_in_use, 0, 2);
    tcase_add_test(cases, patchers_at_once);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
