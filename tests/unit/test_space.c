/*
 * The address-space map against the kernel: the same random calls on two arenas, one through
 * monitor/space.h, one raw, must give the same results, protections and contents; and what
 * simulated peers believe must stay true. Not for single calls: test_space_calls.c.
 */
/* links: monitor/space.c monitor/space_tree.c monitor/space_calls.c monitor/space_mmap.c */
/* links: monitor/space_protect.c monitor/space_mremap.c monitor/space_shared.c */
/* links: monitor/space_copy.c monitor/space_view.c monitor/space_nodes.c monitor/fatal.c */
#include "tests/unit/space_worlds.h"

static unsigned pick(unsigned bound)
{
    return (unsigned)random() % bound;
}
static int pick_protection(void)
{
    static const int protections[] = {PROT_NONE,
                                      PROT_READ,
                                      PROT_READ | PROT_WRITE,
                                      PROT_READ | PROT_WRITE,
                                      PROT_READ | PROT_EXEC,
                                      PROT_READ | PROT_WRITE | PROT_EXEC};
    return protections[pick(6)];
}

/* Results are offsets into the arena; outside of it they need not be equal. */
static void results_compare(const char *what, long ours, long theirs)
{
    if (ours >= 0 && theirs >= 0) {
        bool in_ours = (uint64_t)ours - OURS < ARENA, in_theirs = (uint64_t)theirs - THEIRS < ARENA;
        ck_assert_msg(in_ours == in_theirs, "%s: %lx, kernel %lx", what, ours, theirs);
        if (in_ours)
            ck_assert_msg((uint64_t)ours - OURS == (uint64_t)theirs - THEIRS, "%s: %lx, kernel %lx", what, ours,
                          theirs);
        return;
    }
    ck_assert_msg(ours == theirs, "%s: %ld, kernel %ld", what, ours, theirs);
}

/* Does the range hold memory that stands for a file mapping, which differs in what space_copy.c
 * documents? */
static bool copied_memory(unsigned page, unsigned count)
{
    struct space_mapping mapping;
    if (mode == MODE_LOCAL)
        return false;
    for (unsigned i = page; i < page + count && i < PAGES; i++)
        if (space_lookup(OURS + i * PAGE_BYTES, &mapping) && mapping.inode && mapping.kind == SPACE_MEMORY)
            return true;
    return false;
}

/* Does the map have all of the range as one mapping? */
static bool one_mapping(unsigned page, unsigned count)
{
    struct space_mapping mapping;
    return space_lookup(OURS + page * PAGE_BYTES, &mapping) && mapping.end >= OURS + (page + count) * PAGE_BYTES;
}

static void do_mmap(unsigned page, unsigned count)
{
    static const int places[] = {MAP_FIXED, MAP_FIXED, MAP_FIXED, 0, MAP_FIXED_NOREPLACE};
    int place = places[pick(5)], protection = pick_protection(), flags, ours_fd = -1, theirs_fd = -1;
    off_t offset = 0;
    switch (pick(5)) {
    case 0:
    case 1:
        flags = MAP_PRIVATE | MAP_ANONYMOUS | (pick(4) ? 0 : MAP_NORESERVE);
        break;
    case 2:
        flags = MAP_SHARED | MAP_ANONYMOUS;
        break;
    case 3:
        flags = MAP_PRIVATE;
        ours_fd = theirs_fd = private_fd;
        offset = pick(4) * PAGE_BYTES;
        break;
    default:
        flags = MAP_SHARED;
        ours_fd = shared_fds[0];
        theirs_fd = shared_fds[1];
        offset = pick(4) * PAGE_BYTES;
    }
    flags |= place;
    uint64_t at = page * PAGE_BYTES, length = count * PAGE_BYTES - (pick(2) ? 100 : 0);
    long ours = space_mmap(OURS + at, length, protection, flags, ours_fd, offset);
    long theirs = raw(SYS_mmap, THEIRS + at, length, (uint64_t)protection, (uint64_t)flags, (uint64_t)theirs_fd,
                      (uint64_t)offset);
    results_compare("mmap", ours, theirs);
    if (ours >= 0 && (uint64_t)ours - OURS >= ARENA) {
        ck_assert_int_eq(space_munmap((uint64_t)ours, length), 0);
        munmap((void *)theirs, length);
    }
}

static void do_mremap(unsigned page, unsigned count)
{
    static const int kinds[] = {0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
                                MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED};
    unsigned new_count = pick(3) ? 1 + pick(12) : count, target = pick(PAGES - 12);
    int flags = kinds[pick(5)];
    if (copied_memory(page, count) || copied_memory(target, new_count) || page + new_count > PAGES)
        return;
    uint64_t from = page * PAGE_BYTES, to = target * PAGE_BYTES, old_length = count * PAGE_BYTES,
             new_length = new_count * PAGE_BYTES;
    long theirs = raw(SYS_mremap, THEIRS + from, old_length, new_length, (uint64_t)flags, THEIRS + to, 0);
    /* Several mappings of the kernel, which joins registered neighbours at other moments, may be one of ours. */
    if (theirs == -EFAULT && mode == MODE_DISTRIBUTED &&
        (SPACE_REAL_PAGER || one_mapping(page, count < new_count ? count : new_count)))
        return;
    long ours = space_mremap(OURS + from, old_length, new_length, flags, OURS + to);
    results_compare("mremap", ours, theirs);
    if (ours >= 0 && (uint64_t)ours - OURS >= ARENA) {
        /* Moved away: bring it back. */
        flags = MREMAP_MAYMOVE | MREMAP_FIXED;
        long back = space_mremap((uint64_t)ours, new_length, new_length, flags, OURS + to);
        long theirs_back = raw(SYS_mremap, (uint64_t)theirs, new_length, new_length, (uint64_t)flags, THEIRS + to, 0);
        results_compare("mremap back", back, theirs_back);
        if (back < 0) {
            space_munmap((uint64_t)ours, new_length);
            munmap((void *)theirs, new_length);
        }
    }
}

static void do_madvise(unsigned page, unsigned count)
{
    static const int advices[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_WILLNEED, MADV_SEQUENTIAL, MADV_HUGEPAGE, 99,
                                  MADV_REMOVE};
    int advice = advices[pick(7)];
    if ((advice == MADV_DONTNEED || advice == MADV_REMOVE) && copied_memory(page, count))
        return;
    long ours = space_madvise(OURS + page * PAGE_BYTES, count * PAGE_BYTES - 1, advice);
    long theirs = raw(SYS_madvise, THEIRS + page * PAGE_BYTES, count * PAGE_BYTES - 1, (uint64_t)advice, 0, 0, 0);
    results_compare("madvise", ours, theirs);
}

static void do_touch(unsigned page)
{
    uint64_t offset = page * PAGE_BYTES + 512 + pick(2000);
    bool write = pick(3);
    uint8_t value = (uint8_t)random();
    if (owners[page].away)
        return;
    int ours = touch(OURS + offset, write, value), theirs = touch(THEIRS + offset, write, value);
    ck_assert_msg(ours == theirs, "touch of page %u: signal %d, kernel %d", page, ours, theirs);
}

static void do_one(void)
{
    unsigned page = pick(PAGES - 12), count = 1 + pick(12);
    uint64_t at = page * PAGE_BYTES, length = count * PAGE_BYTES;
    int protection = pick_protection();
    switch (pick(mode == MODE_DISTRIBUTED && !SPACE_REAL_PAGER ? 14 : 10)) {
    case 0:
    case 1:
    case 2:
        do_mmap(page, count);
        break;
    case 3:
        results_compare("munmap", space_munmap(OURS + at, length), raw(SYS_munmap, THEIRS + at, length, 0, 0, 0, 0));
        break;
    case 4:
    case 5:
        results_compare("mprotect", space_mprotect(OURS + at, length, protection),
                        raw(SYS_mprotect, THEIRS + at, length, (uint64_t)protection, 0, 0, 0));
        break;
    case 6:
        do_mremap(page, count);
        break;
    case 7:
        do_madvise(page, count);
        break;
    case 8:
    case 9:
        do_touch(page);
        break;
    default:
        peer_touch(1 + pick(PEERS), pick(PAGES), pick(2));
    }
}

static void random_calls(enum mode wanted, unsigned steps)
{
    const char *given = getenv("SPACE_SEED");
    unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL) ^ (unsigned)getpid();
    fprintf(stderr, "mode %d, SPACE_SEED=%u\n", wanted, seed);
    srandom(seed);
    worlds_create(wanted);
    for (unsigned step = 0; step < steps; step++) {
        do_one();
        worlds_compare();
    }
    if (mode == MODE_DISTRIBUTED && !SPACE_REAL_PAGER)
        ck_assert(dropped && recalled && protected_ && registered);
    else
        ck_assert(dropped + recalled + protected_ + registered == 0);
}

START_TEST(random_calls_distributed)
{
    random_calls(MODE_DISTRIBUTED, SPACE_REAL_PAGER ? 2000 : 3000);
}
END_TEST

#if !SPACE_REAL_PAGER
START_TEST(random_calls_local)
{
    random_calls(MODE_LOCAL, 2000);
}
END_TEST

START_TEST(random_calls_shared)
{
    random_calls(MODE_SHARED, 2000);
}
END_TEST
#endif

int main(void)
{
    TCase *tests = tcase_create("space");
    tcase_add_test(tests, random_calls_distributed);
#if !SPACE_REAL_PAGER
    tcase_add_test(tests, random_calls_local);
    tcase_add_test(tests, random_calls_shared);
#endif
    return space_suite_run("space", tests);
}
