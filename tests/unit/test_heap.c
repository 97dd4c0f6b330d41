/*
 * The heap: blocks keep their contents, damage is noticed, forks are safe, and brk is left alone.
 * The whole program, Check included, lives on the heap under test when it is linked statically.
 * links: runtime/heap.c runtime/heap_malloc.c
 */
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/heap.h"
#include "runtime/wire.h"

#define SLOTS   512
#define ROUNDS  8000
#define THREADS 4

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static size_t random_size(uint32_t *state)
{
    uint32_t kind = next_random(state) % 100, number = next_random(state);
    if (kind < 60)
        return number % 200;
    if (kind < 85)
        return number % 5000;
    if (kind < 98)
        return number % 33000;
    return number % 400000;
}

struct slot {
    uint8_t *pointer;
    size_t size;
    uint8_t pattern;
};

static void slot_check(const struct slot *slot)
{
    for (size_t i = 0; i < slot->size; i += slot->size < 256 ? 1 : slot->size / 64)
        ck_assert_uint_eq(slot->pointer[i], slot->pattern);
    if (slot->size)
        ck_assert_uint_eq(slot->pointer[slot->size - 1], slot->pattern);
}

static void slot_fill(struct slot *slot, uint32_t *state)
{
    slot->pattern = (uint8_t)next_random(state);
    ck_assert_ptr_nonnull(slot->pointer);
    ck_assert_uint_ge((uintptr_t)slot->pointer, SPAN_ZONE_END);
    ck_assert_uint_eq((uintptr_t)slot->pointer % 16, 0);
    ck_assert_uint_ge(heap_usable_bytes(slot->pointer), slot->size);
    memset(slot->pointer, slot->pattern, slot->size);
}

static void slot_change(struct slot *slot, uint32_t *state)
{
    uint32_t kind = next_random(state) % 10;
    if (!slot->pointer) {
        slot->size = random_size(state);
        if (kind < 6) {
            slot->pointer = heap_allocate(slot->size);
        } else if (kind < 8) {
            slot->pointer = heap_allocate_zeroed(slot->size);
            if (slot->size)
                ck_assert(slot->pointer[0] == 0 && !memcmp(slot->pointer, slot->pointer + 1, slot->size - 1));
        } else {
            size_t alignment = (size_t)16 << next_random(state) % 12;
            slot->pointer = heap_allocate_aligned(alignment, slot->size);
            ck_assert_uint_eq((uintptr_t)slot->pointer % alignment, 0);
        }
        slot_fill(slot, state);
    } else if (kind < 4) {
        slot_check(slot);
        size_t size = random_size(state) + 1;
        slot->pointer = heap_resize(slot->pointer, size);
        ck_assert_ptr_nonnull(slot->pointer);
        slot->size = slot->size < size ? slot->size : size;
        slot_check(slot);
        slot->size = size;
        slot_fill(slot, state);
    } else {
        slot_check(slot);
        heap_free(slot->pointer);
        slot->pointer = NULL;
    }
}

static void *work(void *argument)
{
    uint32_t state = (uint32_t)(uintptr_t)argument * 2654435761u + 1;
    struct slot *slots = heap_allocate_zeroed(SLOTS * sizeof *slots);
    for (unsigned round = 0; round < ROUNDS; round++)
        slot_change(&slots[next_random(&state) % SLOTS], &state);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].pointer)
            slot_check(&slots[i]);
        heap_free(slots[i].pointer);
    }
    heap_free(slots);
    return NULL;
}

/* Loops: one thread, several. Everything comes back. */
START_TEST(test_random)
{
    size_t mapped_before, mapped, blocks_before, blocks;
    heap_counters(&mapped_before, &blocks_before);
    unsigned count = _i ? THREADS : 1;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1));
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    heap_counters(&mapped, &blocks);
    ck_assert_uint_le(blocks, blocks_before + 16); /* libc's own, for the threads it keeps */
    /* But for one empty slab of each class. */
    ck_assert_uint_le(mapped, mapped_before + (16u << 20));
}
END_TEST

START_TEST(test_every_size)
{
    static uint8_t *pointers[36000];
    for (size_t size = 0; size < 36000; size += size < 600 ? 1 : 61) {
        pointers[size] = heap_allocate(size);
        size_t usable = heap_usable_bytes(pointers[size]);
        ck_assert_uint_ge(usable, size);
        if (size > 128 && size <= 32768)
            ck_assert_uint_le(usable, size + size / 4);
        memset(pointers[size], (int)size, size);
    }
    for (size_t size = 0; size < 36000; size += size < 600 ? 1 : 61) {
        for (size_t i = 0; i < size; i += 1 + size / 8)
            ck_assert_uint_eq(pointers[size][i], (uint8_t)size);
        heap_free(pointers[size]);
    }
}
END_TEST

START_TEST(test_alignments)
{
    for (size_t alignment = 1; alignment <= 4u << 20; alignment *= 2) {
        for (size_t size = 1; size < 300000; size = size * 3 + 1) {
            uint8_t *pointer = heap_allocate_aligned(alignment, size);
            ck_assert_ptr_nonnull(pointer);
            ck_assert_uint_eq((uintptr_t)pointer % alignment, 0);
            memset(pointer, 1, size);
            pointer = heap_resize(pointer, size * 2);
            ck_assert_uint_eq(pointer[size - 1], 1);
            memset(pointer, 2, size * 2);
            heap_free(pointer);
        }
    }
}
END_TEST

START_TEST(test_names_of_libc)
{
    void *pointer = NULL;
    volatile size_t huge = SIZE_MAX / 2, many = SIZE_MAX / 4;
    errno = 0;
    ck_assert_ptr_null(malloc(huge));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_ptr_null(calloc(many, 8));
    ck_assert_ptr_null(reallocarray(NULL, many, 8));
    ck_assert_int_eq(posix_memalign(&pointer, 24, 8), EINVAL);
    ck_assert_int_eq(posix_memalign(&pointer, 4, 8), EINVAL);
    ck_assert_int_eq(posix_memalign(&pointer, 64, huge), ENOMEM);
    ck_assert_int_eq(posix_memalign(&pointer, 64, 100), 0);
    ck_assert_uint_eq((uintptr_t)pointer % 64, 0);
    ck_assert_uint_ge(malloc_usable_size(pointer), 100);
    pointer = realloc(pointer, 0);
    ck_assert_ptr_null(pointer);
    pointer = aligned_alloc(4096, 4096);
    ck_assert_uint_eq((uintptr_t)pointer % 4096, 0);
    free(pointer);
    pointer = memalign(32, 10);
    ck_assert_uint_eq((uintptr_t)pointer % 32, 0);
    free(pointer);
    void *one = malloc(0), *two = malloc(0);
    ck_assert(one && two && one != two);
    free(one);
    free(two);
    free(NULL);
    ck_assert_uint_eq(malloc_usable_size(NULL), 0);
    /* free keeps errno: POSIX.1-2024. */
    one = malloc(1000000);
    errno = EBADF;
    free(one);
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(test_brk_is_the_programs)
{
    char line[256];
    for (int i = 0; i < 1000; i++)
        ck_assert_ptr_nonnull(malloc(5000));
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        ck_assert_msg(!strstr(line, "[heap]"), "%s", line);
    fclose(maps);
}
END_TEST

START_TEST(test_no_memory)
{
    struct rlimit limit = {64 << 20, 64 << 20};
    void **last = NULL;
    unsigned count = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (void **pointer; (pointer = heap_allocate(20000)); count++) {
        *pointer = last;
        last = pointer;
    }
    ck_assert_uint_gt(count, 1000);
    ck_assert_ptr_null(heap_allocate(8 << 20));
    ck_assert_ptr_null(heap_resize(last, 8 << 20));
    while (last) {
        void **next = *last;
        heap_free(last);
        last = next;
    }
    void *pointer = heap_allocate(8 << 20);
    ck_assert_ptr_nonnull(pointer);
    heap_free(pointer);
}
END_TEST

/* ---- forks ---- */

static volatile int stop;
static void *churn(void *argument)
{
    uint32_t state = (uint32_t)(uintptr_t)argument;
    while (!stop) {
        void *pointer = heap_allocate(random_size(&state) % 40000);
        heap_free(pointer);
    }
    return NULL;
}

START_TEST(test_raw_fork)
{
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(uintptr_t)(i + 7));
    for (int i = 0; i < 100; i++) {
        heap_fork_prepare();
        long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0L);
        if (pid == 0) {
            heap_fork_child();
            alarm(5);
            uint32_t state = (uint32_t)i + 1;
            for (int j = 0; j < 50; j++) {
                void *pointer = heap_allocate(random_size(&state));
                heap_free(pointer);
            }
            _exit(7);
        }
        heap_fork_parent();
        int status;
        ck_assert_int_eq(waitpid((pid_t)pid, &status, 0), (pid_t)pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x in round %d", (unsigned)status, i);
    }
    stop = 1;
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* ---- damage: each of these ends the process ---- */

static void damage(int kind)
{
    /* Through volatile pointers, or the compiler sees what is wrong with this. */
    uint8_t *volatile small = heap_allocate(100), *volatile large = heap_allocate(100000);
    uint8_t *volatile keep = heap_allocate(100);
    (void)keep;
    switch (kind) {
    case 0: /* freed twice */
        heap_free(small);
        heap_free(small);
        break;
    case 1: /* not the start of a block */
        heap_free(small + 16);
        break;
    case 2: /* never given out */
        heap_free(small + 64 * 112);
        break;
    case 3: /* written after it was freed */
        heap_free(small);
        small[3] ^= 1;
        for (int i = 0; i < 10000; i++)
            heap_allocate(100);
        break;
    case 4: /* what is before a large block */
        large[-40] ^= 1;
        heap_free(large);
        break;
    case 5: /* inside a large block */
        heap_free(large + 64);
        break;
    case 6: /* of the stack */
        heap_free((void *)((uintptr_t)&keep & ~15ul));
        break;
    case 7: /* of the program */
        heap_free((void *)0x10000040);
        break;
    case 8: /* used after it was freed */
        heap_free(small);
        heap_resize(small, 10);
        break;
    default:
        break;
    }
}
#define DAMAGES 9

START_TEST(test_damage_is_noticed)
{
    damage(_i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *blocks = tcase_create("blocks"), *forks = tcase_create("forks"), *damages = tcase_create("damage");
    tcase_set_timeout(blocks, 60);
    tcase_set_timeout(forks, 30);
    tcase_add_loop_test(blocks, test_random, 0, 2);
    tcase_add_test(blocks, test_every_size);
    tcase_add_test(blocks, test_alignments);
    tcase_add_test(blocks, test_names_of_libc);
    tcase_add_test(blocks, test_brk_is_the_programs);
    tcase_add_test(blocks, test_no_memory);
    tcase_add_test(forks, test_raw_fork);
    tcase_add_loop_test_raise_signal(damages, test_damage_is_noticed, SIGILL, 0, DAMAGES);
    suite_add_tcase(suite, blocks);
    suite_add_tcase(suite, forks);
    suite_add_tcase(suite, damages);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
