/*
 * Site patching, one thread: every shape of call site behaves after patching as it did before, and
 * what must not be patched is not. Not for threads (test_patch_threads.c) and real libraries
 * (test_patch_libraries.c).
 *
 * links: $(filter syscall/patch%,$(PARTS)) tests/unit/patch_world.c tests/unit/patch_shapes.S
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "syscall/patch.h"
#include "syscall/patch_private.h"
#include "tests/unit/patch_world.h"

typedef long (*shape_function)(long, long, long);

#define SHAPE(name)                                                                                                    \
    extern long name(long, long, long);                                                                                \
    extern const char name##_site[];
SHAPE(shape_free)
SHAPE(shape_free_ahead)
SHAPE(shape_free_relative)
SHAPE(shape_free_branch)
SHAPE(shape_punned)
SHAPE(shape_punned_relative)
SHAPE(shape_punned_return)
SHAPE(shape_punned_jump)
SHAPE(shape_punned_table)
SHAPE(shape_quiet)
SHAPE(shape_quiet_cold)
SHAPE(shape_quiet_table)
SHAPE(shape_bypassed)
SHAPE(shape_target_behind)
SHAPE(shape_target_inside)
SHAPE(shape_call_behind)
SHAPE(shape_red_zone)
SHAPE(shape_signal_return)
SHAPE(shape_two)
SHAPE(shape_undecodable)
SHAPE(shape_hidden)
SHAPE(shape_page_free)
SHAPE(shape_page_punned)
SHAPE(shape_bare)
extern const char shape_two_second[];
long shape_call(shape_function function, long before[12], long after[13]);

static struct fake_thread fake;

struct shape {
    const char *name;
    shape_function function;
    const char *site;
    int quiet, concurrent; /* enum patch_result expected with one thread, with several */
    unsigned calls;        /* that come through the stub, for each call of the function */
};

#define ROW(name, quiet, concurrent, calls)                                                                            \
    {                                                                                                                  \
#name, name, name##_site, quiet, concurrent, calls                                                             \
    }
static const struct shape shapes[] = {
    ROW(shape_free, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_free_ahead, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_free_relative, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_free_branch, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_punned, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_punned_relative, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_punned_return, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_punned_jump, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_punned_table, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_quiet, PATCH_DONE, PATCH_DOUBTFUL, 1),
    ROW(shape_quiet_cold, PATCH_DOUBTFUL, PATCH_DOUBTFUL, 0),
    ROW(shape_quiet_table, PATCH_DOUBTFUL, PATCH_DOUBTFUL, 0),
    ROW(shape_bypassed, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_target_behind, PATCH_DONE, PATCH_DOUBTFUL, 1),
    ROW(shape_target_inside, PATCH_DONE, PATCH_DOUBTFUL, 0),
    ROW(shape_call_behind, PATCH_DONE, PATCH_DOUBTFUL, 1),
    ROW(shape_red_zone, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_undecodable, PATCH_DOUBTFUL, PATCH_DOUBTFUL, 0),
    ROW(shape_page_free, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_page_punned, PATCH_DONE, PATCH_DONE, 1),
    ROW(shape_bare, PATCH_DOUBTFUL, PATCH_DOUBTFUL, 0),
};
#define SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static void shape_check(const struct shape *shape, bool concurrent)
{
    const long given[12] = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22};
    long before[12], native[13], patched[13];
    world_start(concurrent);
    world_thread(&fake);
    memcpy(before, given, sizeof before);
    shape_call(shape->function, before, native);
    ck_assert_uint_eq(fake.calls, 0);

    int wanted = concurrent ? shape->concurrent : shape->quiet;
    ck_assert_msg((int)patch_site((uint64_t)shape->site) == wanted, "%s", shape->name);
    memcpy(before, given, sizeof before);
    shape_call(shape->function, before, patched);
    ck_assert_uint_eq(fake.calls, wanted == PATCH_DONE ? shape->calls : 0);
    for (int i = 0; i < 13; i++)
        ck_assert_msg(native[i] == patched[i], "%s: register %d", shape->name, i);
    ck_assert_uint_eq(world_traps(), 0);

    /* Again, for a call that is asked for twice. */
    ck_assert_int_eq(patch_site((uint64_t)shape->site), wanted);
    uint64_t done, doubtful;
    patch_counters(&done, &doubtful);
    ck_assert_uint_eq(done + doubtful, 2);
}

START_TEST(shape_alone)
{
    shape_check(&shapes[_i], false);
}
END_TEST

START_TEST(shape_among_threads)
{
    shape_check(&shapes[_i], true);
}
END_TEST

START_TEST(result_is_the_call_s)
{
    world_start(false);
    world_thread(&fake);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_DONE);
    ck_assert_int_eq(shape_free(1, 2, 3), getpid());
    ck_assert_int_eq(patch_site((uint64_t)shape_red_zone_site), PATCH_DONE);
    ck_assert_int_eq(shape_red_zone(1, 2, 4), 1 ^ 2 ^ 4);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_branch_site), PATCH_DONE);
    ck_assert_int_eq(shape_free_branch(-1, 2, 4), -7);
    ck_assert_uint_eq(fake.calls, 2);
}
END_TEST

START_TEST(signal_return_keeps_its_bytes)
{
    world_start(false);
    ck_assert_int_eq(patch_site((uint64_t)shape_signal_return_site), PATCH_DOUBTFUL);
}
END_TEST

START_TEST(bytes_inside_an_instruction_are_no_site)
{
    world_start(false);
    ck_assert_int_eq(patch_site((uint64_t)shape_hidden_site), PATCH_DOUBTFUL);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site + 1), PATCH_DOUBTFUL);
}
END_TEST

START_TEST(neighbours_do_not_overlap)
{
    world_start(_i != 0);
    world_thread(&fake);
    ck_assert_int_eq(patch_site((uint64_t)(_i < 2 ? shape_two_site : shape_two_second)), PATCH_DONE);
    ck_assert_int_eq(shape_two(1, 2, 3), getppid());
    ck_assert_uint_eq(fake.calls, 1);
    ck_assert_int_eq(patch_site((uint64_t)(_i < 2 ? shape_two_second : shape_two_site)), PATCH_DONE);
    ck_assert_int_eq(shape_two(1, 2, 3), getppid());
    ck_assert_uint_eq(fake.calls, 3);
}
END_TEST

/* A thread whose call was dispatched before the site was patched: its return address is inside the
 * window. */
START_TEST(return_into_a_window)
{
    world_start(true);
    world_thread(&fake);
    uint64_t behind = (uint64_t)shape_punned_site + 2;
    ck_assert_uint_eq(patch_translate_return(behind), behind);
    ck_assert_int_eq(patch_site((uint64_t)shape_punned_site), PATCH_DONE);
    uint64_t back = patch_translate_return(behind);
    ck_assert_uint_ne(back, behind);
    ck_assert_uint_eq(patch_translate(back), behind);
    ck_assert_uint_eq(patch_translate(back - PATCH_STUB_PREAMBLE), (uint64_t)shape_punned_site);
    ck_assert_uint_eq(patch_translate_return((uint64_t)shape_punned_site), (uint64_t)shape_punned_site);
    ck_assert_uint_eq(patch_translate_return(behind + 6), behind + 6);

    /* Nobody asked: the processor meets the breakpoint and patch_trap sends it on. */
    long result;
    __asm__ volatile("call 1f; jmp 2f; 1: mov $-4095, %%rax; jmp *%1; 2:"
                     : "=&a"(result)
                     : "d"(behind)
                     : "rcx", "memory");
    ck_assert_int_eq(result, -1);
    __asm__ volatile("call 1f; jmp 2f; 1: mov $42, %%eax; jmp *%1; 2:" : "=&a"(result) : "d"(behind) : "rcx", "memory");
    ck_assert_int_eq(result, 42);
    ck_assert_uint_eq(world_traps(), 2);
}
END_TEST

START_TEST(translation_of_every_place)
{
    world_start(false);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_ahead_site), PATCH_DONE);
    const uint8_t *window = (const uint8_t *)(uint64_t)shape_free_ahead;
    int32_t distance;
    ck_assert_uint_eq(window[0], 0xe9);
    memcpy(&distance, window + 1, sizeof distance);
    uint64_t stub = (uint64_t)window + 5 + (uint64_t)(int64_t)distance, program = (uint64_t)window;
    static const struct {
        unsigned stub, program;
    } places[] = {{0, 0}, {5, 5}, {8, 8}, {10, 10}, {17, 10}, {25, 12}};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        ck_assert_uint_eq(patch_translate(stub + places[i].stub), program + places[i].program);
    ck_assert_uint_eq(patch_translate(stub + 30), 0);
    ck_assert_uint_eq(patch_translate(program), 0);
    uint64_t resume;
    ck_assert(patch_trap(program, &resume));
    ck_assert_uint_eq(resume, stub);
    ck_assert(!patch_trap(program + 1, &resume));
    ck_assert(!patch_trap(program + 5, &resume));
    ck_assert(!patch_trap((uint64_t)shape_punned, &resume));
}
END_TEST

START_TEST(no_room_leaves_all_as_it_is)
{
    world_start(true);
    world_thread(&fake);
    world_no_room(true);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_NO_ROOM);
    ck_assert_int_eq(patch_site((uint64_t)shape_punned_site), PATCH_NO_ROOM);
    ck_assert_int_eq(shape_free(0, 0, 0), getpid());
    ck_assert_uint_eq(fake.calls, 0);
    world_no_room(false);
    ck_assert_int_eq(patch_site((uint64_t)shape_punned_site), PATCH_DONE);
    ck_assert_int_eq(shape_punned(0, 0, 0), getpid());
    ck_assert_uint_eq(fake.calls, 1);
}
END_TEST

/* Code that was generated, and text that is mapped anew at an address where another was patched. */
START_TEST(memory_that_changes)
{
    static const uint8_t code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    world_start(false);
    world_thread(&fake);
    ck_assert_int_eq(patch_site((uint64_t)page + 5), PATCH_DOUBTFUL);

    uint8_t before[8], *text = (uint8_t *)(uint64_t)shape_free;
    memcpy(before, text, sizeof before);
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_DONE);
    uint8_t *start = (uint8_t *)((uint64_t)text & ~4095ul);
    ck_assert_int_eq(mprotect(start, 8192, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    memcpy(text, before, sizeof before);
    uint64_t resume;
    ck_assert(!patch_trap((uint64_t)text, &resume));
    world_mappings();
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_DONE);
    ck_assert_int_eq(shape_free(0, 0, 0), getpid());
    ck_assert_uint_eq(fake.calls, 1);
}
END_TEST

START_TEST(fork_holds_the_lock)
{
    world_start(false);
    patch_fork_prepare();
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_AGAIN);
    patch_fork_done();
    ck_assert_int_eq(patch_site((uint64_t)shape_free_site), PATCH_DONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patch");
    TCase *cases = tcase_create("shapes");
    tcase_add_loop_test(cases, shape_alone, 0, SHAPES);
    tcase_add_loop_test(cases, shape_among_threads, 0, SHAPES);
    tcase_add_test(cases, result_is_the_call_s);
    tcase_add_test(cases, signal_return_keeps_its_bytes);
    tcase_add_test(cases, bytes_inside_an_instruction_are_no_site);
    tcase_add_loop_test(cases, neighbours_do_not_overlap, 0, 4);
    tcase_add_test(cases, return_into_a_window);
    tcase_add_test(cases, translation_of_every_place);
    tcase_add_test(cases, no_room_leaves_all_as_it_is);
    tcase_add_test(cases, memory_that_changes);
    tcase_add_test(cases, fork_holds_the_lock);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
