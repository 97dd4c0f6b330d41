/*
 * Single calls on the address-space map: errors, addresses, the break, segments, files, and what peers are told.
 * Not for random ones: test_space.c.
 */
/* links: monitor/space.c monitor/space_tree.c monitor/space_calls.c monitor/space_mmap.c */
/* links: monitor/space_protect.c monitor/space_mremap.c monitor/space_shared.c */
/* links: monitor/space_copy.c monitor/space_view.c monitor/space_nodes.c monitor/fatal.c */
#include "tests/unit/space_worlds.h"

/* ---- errors --------------------------------------------------------------------------- */

START_TEST(errors_are_the_kernels)
{
    worlds_create(_i ? MODE_SHARED : MODE_LOCAL);
    int read_only = open("/proc/self/exe", O_RDONLY), path_only = open("/proc/self/exe", O_PATH), pipes[2];
    int write_only = open("/tmp", O_TMPFILE | O_WRONLY, 0600), directory = open("/", O_RDONLY);
    ck_assert(pipe(pipes) == 0 && write_only >= 0);
    const int P = MAP_PRIVATE, A = MAP_PRIVATE | MAP_ANONYMOUS, RW = PROT_READ | PROT_WRITE;
    const struct {
        uint64_t offset;
        size_t length;
        int protection, flags, fd;
        off_t file_offset;
    } maps[] = {
        {0, 0, RW, A, -1, 0},
        {0, 0, RW, P, -1, 0},
        {0, 4096, RW, P, -1, 0},
        {0, 4096, RW, P, 9999, 0},
        {0, 4096, RW, P, pipes[0], 0},
        {0, 4096, RW, P, directory, 0},
        {0, 4096, RW, P, path_only, 0},
        {0, 4096, RW, P, write_only, 0},
        {0, 4096, RW, MAP_SHARED, read_only, 0},
        {0, 4096, PROT_READ, MAP_SHARED, write_only, 0},
        {0, 4096, RW, P, read_only, 100},
        {0, 4096, RW, A, -1, 100},
        {0, 4096, RW, 0, -1, 0},
        {0, 4096, RW, MAP_ANONYMOUS, -1, 0},
        {0, 4096, RW, P, read_only, -4096},
        {0, SIZE_MAX, RW, A, -1, 0},
        {0, SIZE_MAX - 4096, RW, A, -1, 0},
        {0, 1ul << 47, RW, A, -1, 0},
        {0, 1ul << 47, RW, A | MAP_FIXED, -1, 0},
        {7, 4096, RW, A | MAP_FIXED, -1, 0},
        {7, 4096, RW, A | MAP_FIXED_NOREPLACE, -1, 0},
        {0x600000000000ul, 1ul << 47, RW, A | MAP_FIXED, -1, 0},
        {0, 4096, RW, MAP_SHARED_VALIDATE | 0x4000000, read_only, 0},
        {0, 4096, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0},
        {0, 4096, RW, A | MAP_HUGETLB | (13 << 26), -1, 0},
    };
    for (unsigned i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        long ours = space_mmap(OURS + maps[i].offset, maps[i].length, maps[i].protection, maps[i].flags, maps[i].fd,
                               maps[i].file_offset);
        long theirs = raw(SYS_mmap, THEIRS + maps[i].offset, maps[i].length, (uint64_t)maps[i].protection,
                          (uint64_t)maps[i].flags, (uint64_t)maps[i].fd, (uint64_t)maps[i].file_offset);
        ck_assert_msg(theirs < 0, "mmap %u is not an error", i);
        ck_assert_msg(ours == theirs, "mmap %u: %ld, kernel %ld", i, ours, theirs);
    }
    struct picture picture;
    picture_take(OURS, &picture);
    for (unsigned page = 0; page < PAGES; page++)
        ck_assert(picture.permissions[page][0] == 0);
}
END_TEST

START_TEST(errors_of_other_calls_are_the_kernels)
{
    worlds_create(_i ? MODE_SHARED : MODE_LOCAL);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    ck_assert_int_eq(space_mmap(OURS, 8 * PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0), OURS);
    mmap((void *)THEIRS, 8 * PAGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
#define BOTH(ours, ...)                                                                                                \
    do {                                                                                                               \
        long result_ = (ours), kernel_ = raw(__VA_ARGS__);                                                             \
        ck_assert_msg(result_ == kernel_, "%s: %ld, kernel %ld", #ours, result_, kernel_);                             \
    } while (0)
    const uint64_t ends = 1ul << 47;
    BOTH(space_munmap(OURS + 1, 4096), SYS_munmap, THEIRS + 1, 4096, 0, 0, 0, 0);
    BOTH(space_munmap(OURS, 0), SYS_munmap, THEIRS, 0, 0, 0, 0, 0);
    BOTH(space_munmap(OURS, SIZE_MAX), SYS_munmap, THEIRS, SIZE_MAX, 0, 0, 0, 0);
    BOTH(space_munmap(OURS, ends), SYS_munmap, THEIRS, ends, 0, 0, 0, 0);
    BOTH(space_munmap(OURS + ARENA, 4096), SYS_munmap, THEIRS + ARENA, 4096, 0, 0, 0, 0);
    BOTH(space_munmap(-4096ul, 4096), SYS_munmap, -4096ul, 4096, 0, 0, 0, 0);
    BOTH(space_mprotect(OURS + 1, 4096, 0), SYS_mprotect, THEIRS + 1, 4096, 0, 0, 0, 0);
    BOTH(space_mprotect(OURS, 0, 0), SYS_mprotect, THEIRS, 0, 0, 0, 0, 0);
    BOTH(space_mprotect(OURS, 4096, 0x40), SYS_mprotect, THEIRS, 4096, 0x40, 0, 0, 0);
    BOTH(space_mprotect(OURS, 4096, PROT_READ | 8), SYS_mprotect, THEIRS, 4096, PROT_READ | 8, 0, 0, 0);
    BOTH(space_mprotect(OURS, 4096, PROT_GROWSDOWN), SYS_mprotect, THEIRS, 4096, PROT_GROWSDOWN, 0, 0, 0);
    BOTH(space_mprotect(OURS, 4096, PROT_GROWSUP), SYS_mprotect, THEIRS, 4096, PROT_GROWSUP, 0, 0, 0);
    BOTH(space_mprotect(OURS, SIZE_MAX, 0), SYS_mprotect, THEIRS, SIZE_MAX, 0, 0, 0, 0);
    BOTH(space_mprotect(-4096ul, 4096, 0), SYS_mprotect, -4096ul, 4096, 0, 0, 0, 0);
    BOTH(space_mprotect(OURS + ARENA, 4096, 0), SYS_mprotect, THEIRS + ARENA, 4096, 0, 0, 0, 0);
    BOTH(space_pkey_mprotect(OURS, 4096, PROT_READ, 14), SYS_pkey_mprotect, THEIRS, 4096, PROT_READ, 14, 0, 0);
    BOTH(space_pkey_mprotect(OURS, 4096, PROT_READ, -2), SYS_pkey_mprotect, THEIRS, 4096, PROT_READ, -2ul, 0, 0);
    BOTH(space_madvise(OURS + 1, 4096, MADV_DONTNEED), SYS_madvise, THEIRS + 1, 4096, MADV_DONTNEED, 0, 0, 0);
    BOTH(space_madvise(OURS, 0, MADV_DONTNEED), SYS_madvise, THEIRS, 0, MADV_DONTNEED, 0, 0, 0);
    BOTH(space_madvise(OURS, 0, 99), SYS_madvise, THEIRS, 0, 99, 0, 0, 0);
    BOTH(space_madvise(OURS, SIZE_MAX, MADV_DONTNEED), SYS_madvise, THEIRS, SIZE_MAX, MADV_DONTNEED, 0, 0, 0);
    BOTH(space_madvise(OURS + ARENA, 4096, MADV_DONTNEED), SYS_madvise, THEIRS + ARENA, 4096, MADV_DONTNEED, 0, 0, 0);
    const int may = MREMAP_MAYMOVE, fixed = MREMAP_MAYMOVE | MREMAP_FIXED, keep = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
#define MREMAP(address, old, new, how, target)                                                                         \
    BOTH(space_mremap(OURS + (address), old, new, how, OURS + (target)), SYS_mremap, THEIRS + (address), old, new,     \
         how, THEIRS + (target), 0)
    MREMAP(1, 4096, 4096, may, 0);
    MREMAP(0, 4096, 0, may, 0);
    MREMAP(0, 4096, 4096, 64, 0);
    MREMAP(0, 0, 4096, may, 0);
    MREMAP(0, 0, 4096, 0, 0);
    MREMAP(ARENA, 4096, 4096, may, 0);
    MREMAP(0, 4096, 4096, MREMAP_FIXED, 8 * 4096);
    MREMAP(0, 4096, 4096, fixed, 8 * 4096 + 1);
    MREMAP(0, 4 * 4096, 4096, fixed, 4096);
    MREMAP(0, 4096, 8192, keep, 0);
    MREMAP(0, 4096, 4096, MREMAP_DONTUNMAP, 0);
    MREMAP(0, 4096, 8192, 0, 0);
    MREMAP(7 * 4096, 8192, 4 * 4096, may, 0);
    MREMAP(0, 4096, 1ul << 48, may, 0);
    BOTH(space_mremap(OURS, 4096, 4096, fixed, -8192ul), SYS_mremap, THEIRS, 4096, 4096, fixed, -8192ul, 0);
    BOTH(space_shmat(-1, 0, 0), SYS_shmat, -1ul, 0, 0, 0, 0, 0);
    BOTH(space_shmat(12345678, 0, 0), SYS_shmat, 12345678, 0, 0, 0, 0, 0);
    BOTH(space_shmdt(OURS), SYS_shmdt, THEIRS, 0, 0, 0, 0, 0);
    BOTH(space_remap_file_pages(OURS, 4096, 0, 0, 0), SYS_remap_file_pages, THEIRS, 4096, 0, 0, 0, 0);
    BOTH(space_remap_file_pages(OURS, 4096, 1, 0, 0), SYS_remap_file_pages, THEIRS, 4096, 1, 0, 0, 0);
}
END_TEST

/* ---- addresses ------------------------------------------------------------------------ */

START_TEST(addresses_are_chosen_in_the_zone)
{
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    worlds_create(MODE_LOCAL);
    uint64_t first = (uint64_t)space_mmap(0, 3 * PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert(first < 0x6ffff0000000ul && first > 0x6fff80000000ul);
    uint64_t second = (uint64_t)space_mmap(0, 2 * PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert_uint_eq(second, first - 2 * PAGE_BYTES);
    ck_assert_int_eq(space_munmap(first + PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_uint_eq((uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A, -1, 0), first + PAGE_BYTES);
    ck_assert_uint_eq((uint64_t)space_mmap(OURS + 5, PAGE_BYTES, PROT_READ, A, -1, 0), OURS);
    ck_assert((uint64_t)space_mmap(OURS, PAGE_BYTES, PROT_READ, A, -1, 0) > OURS + ARENA);
    uint64_t low = (uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A | MAP_32BIT, -1, 0);
    ck_assert(low < 1ul << 31 && low > PAGE_BYTES);
    uint64_t large = (uint64_t)space_mmap(0, 8ul << 20, PROT_READ, A, -1, 0);
    ck_assert_uint_eq(large % (2ul << 20), 0);
    uint64_t reserve = (uint64_t)space_mmap(0, 1ul << 44, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    ck_assert(reserve < 1ul << 47);
    ck_assert_int_eq(space_mprotect(reserve + (1ul << 40), 1 << 20, PROT_READ | PROT_WRITE), 0);
    *(int *)(reserve + (1ul << 40)) = 1;
    ck_assert_int_eq(space_mmap(0x600000000000, 1ul << 46, PROT_NONE, A | MAP_FIXED, -1, 0), -ENOMEM);
    ck_assert_int_eq(space_munmap(0x700000000000, PAGE_BYTES), -EINVAL);
    ck_assert_int_eq(space_mprotect(0x700000000000, PAGE_BYTES, 0), -ENOMEM);
    ck_assert_int_eq(space_mremap(0x700000000000, PAGE_BYTES, PAGE_BYTES, 0, 0), -EFAULT);
    ck_assert_int_eq(space_madvise(0x700000000000, PAGE_BYTES, MADV_DONTNEED), -ENOMEM);
    space_mmap(0, 1ul << 46, PROT_NONE, A | MAP_NORESERVE, -1, 0); /* may fit: the test's own heap is in the way */
    ck_assert_int_eq(space_mmap(0, 1ul << 46, PROT_NONE, A | MAP_NORESERVE, -1, 0), -ENOMEM);
}
END_TEST

START_TEST(memory_the_map_does_not_know_is_left_alone)
{
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    worlds_create(MODE_LOCAL);
    uint64_t first = (uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A, -1, 0);
    uint64_t foreign = first - 64 * PAGE_BYTES;
    ck_assert_ptr_eq(mmap((void *)foreign, 64 * PAGE_BYTES, PROT_READ, A | MAP_FIXED, -1, 0), (void *)foreign);
    uint64_t second = (uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert(second < foreign);
    uint64_t third = (uint64_t)space_mmap(foreign, PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert(third < foreign);
    /* A growing stack: found by the kernel, not by the map. */
    ck_assert_int_eq(space_mmap(OURS, PAGE_BYTES, PROT_READ | PROT_WRITE, A | MAP_FIXED | MAP_GROWSDOWN, -1, 0), OURS);
    ck_assert_int_eq(touch(OURS - 100 * PAGE_BYTES, true, 1), 0);
    ck_assert((uint64_t)space_mmap(OURS - PAGE_BYTES, PAGE_BYTES, PROT_READ, A, -1, 0) != OURS - PAGE_BYTES);
    ck_assert_int_eq(space_mprotect(OURS, PAGE_BYTES, PROT_READ | PROT_EXEC | PROT_GROWSDOWN), 0);
}
END_TEST

START_TEST(many_mappings_stay_quick)
{
    enum { COUNT = 20000 };
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    static uint64_t addresses[COUNT];
    struct timespec start, end;
    worlds_create(MODE_LOCAL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned i = 0; i < COUNT; i++) {
        long at = space_mmap(0, (1 + i % 3) * PAGE_BYTES, i % 2 ? PROT_READ : PROT_NONE, A, -1, 0);
        ck_assert(at > 0);
        addresses[i] = (uint64_t)at;
    }
    for (unsigned i = 0; i < COUNT; i += 2)
        ck_assert_int_eq(space_munmap(addresses[i], (1 + i % 3) * PAGE_BYTES), 0);
    for (unsigned i = 0; i < COUNT; i += 2)
        ck_assert(space_mmap(0, (1 + i % 3) * PAGE_BYTES, PROT_NONE, A, -1, 0) > 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double us = (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
    fprintf(stderr, "%.2f us a call with %d mappings\n", us / (2 * COUNT), COUNT);
    ck_assert(us / (2 * COUNT) < 50);
}
END_TEST

START_TEST(the_map_count_limit_is_the_kernels)
{
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    worlds_create(MODE_LOCAL);
    uint64_t big = (uint64_t)space_mmap(0, 70000ul * 2 * PAGE_BYTES, PROT_NONE, A | MAP_NORESERVE, -1, 0);
    long result = 0;
    unsigned i;
    for (i = 0; i < 70000 && result == 0; i++)
        result = space_mprotect(big + i * 2ul * PAGE_BYTES, PAGE_BYTES, PROT_READ);
    ck_assert_int_eq(result, -ENOMEM);
    struct space_mapping mapping;
    ck_assert(space_lookup(big + (i - 1) * 2ul * PAGE_BYTES, &mapping));
    ck_assert_uint_eq(mapping.protection, PROT_NONE);
    ck_assert_int_eq(space_munmap(big, 70000ul * 2 * PAGE_BYTES), 0);
}
END_TEST

/* ---- brk, shm, objects, fork ---------------------------------------------------------- */

START_TEST(the_break_moves_as_the_kernels)
{
    worlds_create(_i ? MODE_DISTRIBUTED : MODE_LOCAL);
    const uint64_t heap = OURS;
    space_brk_start(heap);
    ck_assert_int_eq(space_brk(0), (long)heap);
    ck_assert_int_eq(space_brk(heap - 1), (long)heap);
    ck_assert_int_eq(space_brk(heap + 100), (long)heap + 100);
    *(uint64_t *)(heap + 64) = 5;
    ck_assert_int_eq(space_brk(heap + 3 * PAGE_BYTES + 1), (long)heap + 3 * PAGE_BYTES + 1);
    ck_assert_uint_eq(*(uint64_t *)(heap + 64), 5);
    *(uint64_t *)(heap + 3 * PAGE_BYTES + 8) = 6;
    ck_assert_int_eq(space_brk(heap + 3 * PAGE_BYTES), (long)heap + 3 * PAGE_BYTES);
    ck_assert_int_eq(touch(heap + 3 * PAGE_BYTES, false, 0), SIGSEGV);
    ck_assert_int_eq(space_brk(heap + 4 * PAGE_BYTES), (long)heap + 4 * PAGE_BYTES);
    ck_assert_uint_eq(*(uint64_t *)(heap + 3 * PAGE_BYTES + 8), 0);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    ck_assert_int_eq(space_mmap(heap + 8 * PAGE_BYTES, PAGE_BYTES, PROT_READ, flags, -1, 0),
                     (long)heap + 8 * PAGE_BYTES);
    ck_assert_int_eq(space_brk(heap + 8 * PAGE_BYTES), (long)heap + 4 * PAGE_BYTES);
    ck_assert_int_eq(space_brk(heap + 7 * PAGE_BYTES), (long)heap + 7 * PAGE_BYTES);
    ck_assert_int_eq(space_brk(heap + 20 * PAGE_BYTES), (long)heap + 7 * PAGE_BYTES);
    ck_assert_int_eq(space_brk(UINT64_MAX - 5), (long)heap + 7 * PAGE_BYTES);
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    limit.rlim_cur = 7 * PAGE_BYTES;
    ck_assert_int_eq(space_munmap(heap + 8 * PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_DATA, &limit), 0);
    ck_assert_int_eq(space_brk(heap + 9 * PAGE_BYTES), (long)heap + 7 * PAGE_BYTES);
    ck_assert_int_eq(space_brk(heap), (long)heap);
    ck_assert_uint_eq(space_brk_now(), heap);
}
END_TEST

START_TEST(segments_are_attached_and_detached)
{
    worlds_create(MODE_SHARED);
    int id = shmget(IPC_PRIVATE, 3 * PAGE_BYTES - 5, IPC_CREAT | 0600);
    ck_assert_int_ge(id, 0);
    uint64_t first = (uint64_t)space_shmat(id, 0, 0), second = (uint64_t)space_shmat(id, 0, SHM_RDONLY);
    uint64_t third = (uint64_t)space_shmat(id, OURS + 5, SHM_RND);
    shmctl(id, IPC_RMID, NULL);
    ck_assert(first < SPAN_ZONE_END && second < SPAN_ZONE_END);
    ck_assert_uint_eq(third, OURS);
    *(int *)first = 17;
    ck_assert_int_eq(*(int *)second, 17);
    ck_assert_int_eq(*(int *)third, 17);
    ck_assert_int_eq(touch(second, true, 1), SIGSEGV);
    struct space_mapping mapping;
    ck_assert(space_lookup(first + 2 * PAGE_BYTES, &mapping) && mapping.kind == SPACE_PINNED);
    ck_assert_int_eq(space_shmat(id, OURS, 0), -EINVAL);
    ck_assert_int_eq(space_shmat(id, OURS + 1, 0), -EINVAL);
    ck_assert_int_eq(space_munmap(first + PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_int_eq(space_shmdt(first), 0);
    ck_assert(!space_lookup(first, &mapping) && !space_lookup(first + 2 * PAGE_BYTES, &mapping));
    ck_assert_int_eq(space_shmdt(first), -EINVAL);
    ck_assert_int_eq(space_shmdt(third), 0);
    ck_assert_int_eq(*(int *)second, 17);
}
END_TEST

START_TEST(nonlinear_mappings_are_recorded)
{
    worlds_create(MODE_SHARED);
    const int flags = MAP_SHARED | MAP_FIXED;
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, PROT_READ, flags, shared_fds[0], 0), OURS);
    uint8_t wanted = *(uint8_t *)(OURS + 3 * PAGE_BYTES);
    ck_assert_int_eq(space_remap_file_pages(OURS + PAGE_BYTES, PAGE_BYTES, 0, 3, 0), 0);
    ck_assert_uint_eq(*(uint8_t *)(OURS + PAGE_BYTES), wanted);
    struct space_mapping mapping;
    ck_assert(space_lookup(OURS + PAGE_BYTES, &mapping));
    ck_assert_uint_eq(mapping.offset, 3 * PAGE_BYTES);
    ck_assert_int_eq(space_mremap(OURS + 2 * PAGE_BYTES, 0, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, OURS + ARENA),
                     OURS + ARENA);
    ck_assert_int_eq(*(uint8_t *)(OURS + ARENA), *(uint8_t *)(OURS + 2 * PAGE_BYTES));
}
END_TEST

START_TEST(loads_know_their_first_mapping)
{
    worlds_create(_i ? MODE_SHARED : MODE_LOCAL);
    const int RW = PROT_READ | PROT_WRITE, P = MAP_PRIVATE;
    struct space_mapping mapping;
    /* As glibc's rtld: all of it, then parts, then bss. */
    uint64_t base = (uint64_t)space_mmap(0, 12 * PAGE_BYTES, PROT_READ, P, private_fd, 0);
    space_mmap(base + PAGE_BYTES, 2 * PAGE_BYTES, PROT_READ | PROT_EXEC, P | MAP_FIXED, private_fd, PAGE_BYTES);
    space_mmap(base + 6 * PAGE_BYTES, 2 * PAGE_BYTES, RW, P | MAP_FIXED, private_fd, 3 * PAGE_BYTES);
    space_mmap(base + 8 * PAGE_BYTES, 4 * PAGE_BYTES, RW, P | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
    for (unsigned page = 0; page < 8; page++) {
        ck_assert(space_lookup(base + page * PAGE_BYTES, &mapping));
        ck_assert_uint_eq(mapping.object, base);
    }
    ck_assert_uint_eq(mapping.offset, 3 * PAGE_BYTES);
    ck_assert_int_eq(mapping.kind, _i ? SPACE_MEMORY : SPACE_FILE);
    ck_assert(space_lookup(base + 9 * PAGE_BYTES, &mapping) && mapping.object == 0);
    /* As a loader that reserves first. */
    uint64_t other = (uint64_t)space_mmap(0, 12 * PAGE_BYTES, PROT_NONE, P | MAP_ANONYMOUS, -1, 0);
    space_mmap(other, PAGE_BYTES, PROT_READ, P | MAP_FIXED, private_fd, 0);
    space_mmap(other + PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_EXEC, P | MAP_FIXED, private_fd, PAGE_BYTES);
    space_mmap(other + 4 * PAGE_BYTES, PAGE_BYTES, RW, P | MAP_FIXED, private_fd, 2 * PAGE_BYTES);
    for (unsigned page = 0; page < 5; page += page ? 3 : 1) {
        ck_assert(space_lookup(other + page * PAGE_BYTES, &mapping));
        ck_assert_uint_eq(mapping.object, other);
    }
    uint64_t stubs = (uint64_t)space_map_near(PAGE_BYTES, PROT_READ | PROT_EXEC, base, base + 12 * PAGE_BYTES);
    ck_assert(stubs < base && base - stubs < 1ul << 31);
    ck_assert(space_lookup(stubs, &mapping) && mapping.kind == SPACE_FILE);
    ck_assert(space_map_near(PAGE_BYTES, PROT_READ | PROT_WRITE, 0, 0) > 0);
    uint64_t low = (uint64_t)space_map_near(PAGE_BYTES, PROT_READ | PROT_EXEC, 0x400000, 0x500000);
    ck_assert(low < 0x400000 && low >= SPAN_ZONE_START);
}
END_TEST

START_TEST(file_mappings_become_memory)
{
    worlds_create(MODE_SHARED);
    const int RW = PROT_READ | PROT_WRITE, P = MAP_PRIVATE | MAP_FIXED;
    struct space_mapping mapping;
    ck_assert_int_eq(space_mmap(OURS, 8 * PAGE_BYTES, PROT_NONE, P, private_fd, 0), OURS);
    ck_assert(space_lookup(OURS, &mapping) && mapping.kind == SPACE_FILE);
    ck_assert_int_eq(space_mprotect(OURS + PAGE_BYTES, 7 * PAGE_BYTES, RW), 0);
    ck_assert(space_lookup(OURS, &mapping) && mapping.kind == SPACE_FILE && mapping.protection == PROT_NONE);
    ck_assert(space_lookup(OURS + PAGE_BYTES, &mapping) && mapping.kind == SPACE_MEMORY);
    ck_assert_uint_eq(mapping.end, OURS + 6 * PAGE_BYTES);
    ck_assert(space_lookup(OURS + 6 * PAGE_BYTES, &mapping) && mapping.kind == SPACE_PINNED);
    ck_assert_int_eq(touch(OURS, false, 0), SIGSEGV);
    ck_assert_int_eq(touch(OURS + 7 * PAGE_BYTES, true, 0), SIGBUS);
    ck_assert_uint_eq(*(uint8_t *)(OURS + PAGE_BYTES + 3), (uint8_t)((PAGE_BYTES + 3) * 7 + (PAGE_BYTES + 3) / 256));
    ck_assert_uint_eq(*(uint8_t *)(OURS + 5 * PAGE_BYTES + 701), 0);
    /* What has been written stays through advice that would bring the file back. */
    *(uint8_t *)(OURS + PAGE_BYTES) = 99;
    ck_assert_int_eq(space_madvise(OURS + PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED), 0);
    ck_assert_uint_eq(*(uint8_t *)(OURS + PAGE_BYTES), 99);
    ck_assert_int_eq(space_mremap(OURS + 5 * PAGE_BYTES, PAGE_BYTES, 20 * PAGE_BYTES, MREMAP_MAYMOVE, 0), -ENOMEM);
}
END_TEST

START_TEST(peers_learn_what_they_must)
{
    worlds_create(MODE_DISTRIBUTED);
    const int RW = PROT_READ | PROT_WRITE, A = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    struct wire_mapping answer;
    struct wire_fault fault = {.address = OURS + PAGE_BYTES};
    space_peer_lookup(1, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_NONE);
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, PROT_READ, A, -1, 0), OURS);
    ck_assert_uint_eq(registered, 1);
    space_peer_lookup(1, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_MEMORY);
    ck_assert(answer.start == OURS && answer.end == OURS + 4 * PAGE_BYTES);
    fault.write = 1;
    space_peer_lookup(1, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_NONE);
    /* More is learned by asking, less is told. */
    ck_assert_int_eq(space_mprotect(OURS, 4 * PAGE_BYTES, RW), 0);
    ck_assert_uint_eq(protected_, 0);
    space_peer_lookup(1, &fault, &answer);
    ck_assert_uint_eq(answer.protection, RW);
    ck_assert_int_eq(space_mprotect(OURS, PAGE_BYTES, PROT_READ), 0);
    ck_assert_uint_eq(protected_, 1);
    fault.execute = 1;
    space_peer_lookup(1, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_NONE);
    /* Nobody is told what nobody knows. */
    ck_assert_int_eq(space_mmap(OURS + 8 * PAGE_BYTES, PAGE_BYTES, RW, A, -1, 0), OURS + 8 * PAGE_BYTES);
    ck_assert_int_eq(space_munmap(OURS + 8 * PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_uint_eq(dropped, 0);
    ck_assert_int_eq(space_madvise(OURS, PAGE_BYTES, MADV_FREE), 0);
    ck_assert_uint_eq(dropped, 1);
    space_text_changed(OURS + 100, OURS + 3 * PAGE_BYTES);
    ck_assert_uint_eq(recalled, 1);
    ck_assert_int_eq(space_munmap(OURS, 4 * PAGE_BYTES), 0);
    ck_assert_uint_eq(dropped, 2);
    /* A mapping of files is fetched, up to their end; a window limits an answer. */
    ck_assert_int_eq(space_mmap(OURS, 8 * PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_FIXED, private_fd, 0), OURS);
    fault = (struct wire_fault){.address = OURS + 5 * PAGE_BYTES};
    space_peer_lookup(2, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_FILE);
    fault.address = OURS + 6 * PAGE_BYTES;
    space_peer_lookup(2, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_PINNED);
    uint64_t giant = (uint64_t)space_mmap(0, 1ul << 40, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fault.address = giant + (7ul << 30) + 123;
    space_peer_lookup(2, &fault, &answer);
    ck_assert(answer.end - answer.start == 1ul << 30 && answer.start <= fault.address && fault.address < answer.end);
    /* Memory that cannot be registered stays at home. */
    register_error = -ENOMEM;
    ck_assert_int_eq(space_mmap(OURS + ARENA, PAGE_BYTES, RW, A, -1, 0), OURS + ARENA);
    fault.address = OURS + ARENA;
    space_peer_lookup(2, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_PINNED);
}
END_TEST

START_TEST(a_failed_replacement_keeps_what_was_there)
{
    worlds_create(MODE_DISTRIBUTED);
    const int RW = PROT_READ | PROT_WRITE, A = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, RW, A, -1, 0), OURS);
    ck_assert_int_eq(raw(SYS_mmap, THEIRS, 4 * PAGE_BYTES, RW, A, -1ul, 0), THEIRS);
    peer_touch(1, 2, true);
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, RW, MAP_SHARED | MAP_FIXED, open("/proc/self/exe", O_RDONLY), 0),
                     -EACCES);
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, RW, A | MAP_HUGETLB, -1, 0) < 0, 1);
    ck_assert(owners[2].away && dropped == 0);
    worlds_compare();
}
END_TEST

START_TEST(a_fork_child_is_alone)
{
    worlds_create(MODE_DISTRIBUTED);
    const int RW = PROT_READ | PROT_WRITE, A = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, RW, A, -1, 0), OURS);
    ck_assert_int_eq(raw(SYS_mmap, THEIRS, 4 * PAGE_BYTES, RW, A, -1ul, 0), THEIRS);
    peer_touch(1, 0, false);
    space_fork_prepare();
    pid_t pid = fork();
    if (pid == 0) {
        struct space_mapping mapping;
        space_fork_child();
        bool right = space_lookup(OURS, &mapping) && mapping.nodes == 0 && space_munmap(OURS, PAGE_BYTES) == 0 &&
                     dropped == 0 && space_mmap(OURS, PAGE_BYTES, RW, MAP_PRIVATE | MAP_FIXED, private_fd, 0) == OURS &&
                     space_lookup(OURS, &mapping) && mapping.kind == SPACE_FILE;
        _exit(right ? 0 : 1);
    }
    space_fork_parent();
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    struct space_mapping mapping;
    ck_assert(space_lookup(OURS, &mapping) && mapping.nodes == 2);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("space_calls");
    tcase_add_loop_test(tests, errors_are_the_kernels, 0, 2);
    tcase_add_loop_test(tests, errors_of_other_calls_are_the_kernels, 0, 2);
    tcase_add_test(tests, addresses_are_chosen_in_the_zone);
    tcase_add_test(tests, memory_the_map_does_not_know_is_left_alone);
    tcase_add_test(tests, many_mappings_stay_quick);
    tcase_add_test(tests, the_map_count_limit_is_the_kernels);
    tcase_add_loop_test(tests, the_break_moves_as_the_kernels, 0, 2);
    tcase_add_test(tests, segments_are_attached_and_detached);
    tcase_add_test(tests, nonlinear_mappings_are_recorded);
    tcase_add_loop_test(tests, loads_know_their_first_mapping, 0, 2);
    tcase_add_test(tests, file_mappings_become_memory);
    tcase_add_test(tests, peers_learn_what_they_must);
    tcase_add_test(tests, a_failed_replacement_keeps_what_was_there);
    tcase_add_test(tests, a_fork_child_is_alone);
    return space_suite_run("space_calls", tests);
}
