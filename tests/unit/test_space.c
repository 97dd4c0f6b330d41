/*
 * The address-space map against the kernel: the same random calls on two arenas, one through
 * monitor/space.h, one raw, must give the same results, protections and contents; and what
 * simulated peers believe must stay true.
 */
/* links: monitor/space.c monitor/space_tree.c monitor/space_calls.c monitor/space_mmap.c */
/* links: monitor/space_protect.c monitor/space_mremap.c monitor/space_shared.c */
/* links: monitor/space_copy.c monitor/space_view.c monitor/space_nodes.c monitor/fatal.c */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor/space.h"
#include "runtime/pager.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define OURS   0x100000000000ul /* an arena of the map */
#define THEIRS 0x200000000000ul /* the kernel's; the map never looks there */
#define PAGES  40u
#define ARENA  (PAGES * (uint64_t)PAGE_BYTES)
#define PEERS  3u /* nodes 1 .. PEERS */

enum mode { MODE_LOCAL, MODE_SHARED, MODE_DISTRIBUTED };
static enum mode mode;

/* ---- simulated peers ------------------------------------------------------------------ */

struct view {
    bool known;
    uint32_t protection, kind;
};
static struct view views[PEERS + 1][PAGES];
/* A page that a peer has written: home's copy is stale until it comes back. */
static struct {
    bool away;
    unsigned node;
    uint64_t value;
} owners[PAGES];
static unsigned dropped, recalled, protected_, registered;

/* test_space_pager.c includes this file for the random calls alone, over the real pager. */
#ifndef SPACE_REAL_PAGER
#define SPACE_REAL_PAGER 0
static int register_error;

static void raw_write(uint64_t address, uint64_t value)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/proc/self/mem", O_RDWR);
    ck_assert_int_eq(pwrite(fd, &value, sizeof value, (off_t)address), sizeof value);
}

static inline void peers_forget(uint64_t start, uint64_t end, uint64_t nodes, bool keep)
{
    for (uint64_t page = start; page < end; page += PAGE_BYTES) {
        uint64_t index = (page - OURS) / PAGE_BYTES;
        if (page < OURS || index >= PAGES)
            continue;
        if (owners[index].away && (nodes >> owners[index].node & 1)) {
            owners[index].away = false;
            if (keep)
                raw_write(page, owners[index].value);
        }
        for (unsigned node = 1; node <= PEERS; node++)
            if (nodes >> node & 1)
                views[node][index].known = false;
    }
}

int pager_register(uint64_t start, uint64_t bytes)
{
    ck_assert(start % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0 && bytes);
    registered++;
    return register_error;
}
void pager_drop(uint64_t start, uint64_t end, uint64_t nodes)
{
    dropped++;
    ck_assert(start < end && nodes);
    peers_forget(start, end, nodes, false);
}
void pager_recall(uint64_t start, uint64_t end, uint64_t nodes)
{
    recalled++;
    ck_assert(start < end && nodes);
    peers_forget(start, end, nodes, true);
}
void pager_protect(uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes)
{
    protected_++;
    for (unsigned node = 1; node <= PEERS; node++)
        for (unsigned page = 0; page < PAGES; page++)
            if ((nodes >> node & 1) && OURS + page * PAGE_BYTES >= start &&
                OURS + page * PAGE_BYTES < end)
                views[node][page].protection = protection;
}
static void pager_begin(void)
{
}
#else
static void pager_begin(void)
{
    static const struct pager_callbacks callbacks;
    static const struct pager_configuration configuration = {.node = HOME_NODE,
                                                             .callbacks = &callbacks};
    char why[WIRE_MESSAGE_BYTES];
    ck_assert_msg(pager_start(&configuration, why) == 0, "%s", why);
}
#endif

static void peers_check(void)
{
    for (unsigned node = 1; node <= PEERS; node++)
        for (unsigned page = 0; page < PAGES; page++) {
            const struct view *view = &views[node][page];
            struct space_mapping mapping;
            if (!view->known)
                continue;
            ck_assert_msg(space_lookup(OURS + page * PAGE_BYTES, &mapping), "node %u knows hole %u",
                          node, page);
            ck_assert_msg(mapping.nodes >> node & 1, "node %u is not recorded for page %u", node,
                          page);
            ck_assert_msg(mapping.kind != SPACE_PINNED, "node %u knows pinned page %u", node, page);
            ck_assert_msg((mapping.kind == SPACE_FILE) == (view->kind == WIRE_MAPPING_FILE),
                          "kind of page %u", page);
            ck_assert_msg((view->protection & ~mapping.protection) == 0,
                          "node %u may too much in page %u", node, page);
        }
}

static void peer_touch(unsigned node, unsigned page, bool write)
{
    struct wire_fault fault = {.address = OURS + page * PAGE_BYTES + 8, .write = write};
    struct wire_mapping answer;
    struct space_mapping mapping;
    space_peer_lookup(node, &fault, &answer);
    bool there = space_lookup(fault.address, &mapping);
    if (answer.kind == WIRE_MAPPING_NONE) {
        ck_assert(!there || (write ? !(mapping.protection & PROT_WRITE) : mapping.protection == 0));
        return;
    }
    ck_assert(there && answer.start <= fault.address && fault.address < answer.end);
    if (answer.kind == WIRE_MAPPING_PINNED)
        return;
    ck_assert_uint_eq(answer.protection, mapping.protection);
    for (uint64_t at = answer.start; at < answer.end; at += PAGE_BYTES)
        views[node][(at - OURS) / PAGE_BYTES] =
            (struct view){.known = true, .protection = answer.protection, .kind = answer.kind};
    if (!write || owners[page].away)
        return;
    owners[page].away = true;
    owners[page].node = node;
    owners[page].value = (uint64_t)random() << 32 | (uint64_t)random();
    *(volatile uint64_t *)(THEIRS + page * PAGE_BYTES) = owners[page].value;
}

/* ---- what the kernel says of an arena ------------------------------------------------- */

struct picture {
    char permissions[PAGES][5]; /* empty: not mapped */
};

static void picture_take(uint64_t arena, struct picture *picture)
{
    static char maps[1 << 18];
    memset(picture, 0, sizeof *picture);
    int fd = open("/proc/self/maps", O_RDONLY);
    size_t size = 0;
    ssize_t got;
    while ((got = read(fd, maps + size, sizeof maps - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    maps[size] = 0;
    for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long start, end;
        char permissions[5];
        ck_assert_int_eq(sscanf(line, "%lx-%lx %4s", &start, &end, permissions), 3);
        for (uint64_t at = start; at < end && at < arena + ARENA; at += PAGE_BYTES)
            if (at >= arena)
                memcpy(picture->permissions[(at - arena) / PAGE_BYTES], permissions, 5);
            else
                at = (end < arena ? end : arena) - PAGE_BYTES;
    }
}

/* The page's contents, or false when it cannot be read. */
static bool page_read(uint64_t address, uint8_t bytes[PAGE_BYTES])
{
    struct iovec local = {bytes, PAGE_BYTES}, remote = {(void *)address, PAGE_BYTES};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == PAGE_BYTES;
}

static sigjmp_buf trap;
static void on_signal(int signal)
{
    siglongjmp(trap, signal);
}
/* The signal that a touch raises, 0 for none. */
static int touch(uint64_t address, bool write, uint8_t value)
{
    volatile uint8_t *byte = (volatile uint8_t *)address;
    int signal = sigsetjmp(trap, 1);
    if (signal != 0)
        return signal;
    if (write)
        *byte = value;
    else
        (void)*byte;
    return 0;
}

static void contents_compare(unsigned page)
{
    static uint8_t ours[PAGE_BYTES], theirs[PAGE_BYTES];
    bool readable = page_read(OURS + page * PAGE_BYTES, ours);
    ck_assert_msg(page_read(THEIRS + page * PAGE_BYTES, theirs) == readable,
                  "page %u is readable: %d", page, readable);
    if (!readable)
        return;
    if (owners[page].away)
        memcpy(ours, &owners[page].value, sizeof owners[page].value);
    ck_assert_msg(memcmp(ours, theirs, PAGE_BYTES) == 0, "page %u differs: %lx, %lx", page,
                  *(uint64_t *)ours, *(uint64_t *)theirs);
}

static void worlds_compare(void)
{
    struct picture ours, theirs;
    picture_take(OURS, &ours);
    picture_take(THEIRS, &theirs);
    for (unsigned page = 0; page < PAGES; page++) {
        struct space_mapping mapping;
        const char *permissions = ours.permissions[page];
        ck_assert_msg(strcmp(permissions, theirs.permissions[page]) == 0,
                      "page %u is %s, the kernel's %s", page, permissions,
                      theirs.permissions[page]);
        bool there = space_lookup(OURS + page * PAGE_BYTES, &mapping);
        ck_assert_msg(there == (permissions[0] != 0), "page %u: map %d, %s", page, there,
                      permissions);
        if (!there)
            continue;
        uint32_t protection = (permissions[0] == 'r' ? PROT_READ : 0) |
                              (permissions[1] == 'w' ? PROT_WRITE : 0) |
                              (permissions[2] == 'x' ? PROT_EXEC : 0);
        ck_assert_msg(mapping.protection == protection, "page %u: map %x, %s", page,
                      mapping.protection, permissions);
        contents_compare(page);
    }
    peers_check();
}

/* ---- the same call in both worlds ----------------------------------------------------- */

static int private_fd, shared_fds[2];
#define FILE_BYTES (5 * PAGE_BYTES + 700)

static long raw(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}

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
            ck_assert_msg((uint64_t)ours - OURS == (uint64_t)theirs - THEIRS, "%s: %lx, kernel %lx",
                          what, ours, theirs);
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
        if (space_lookup(OURS + i * PAGE_BYTES, &mapping) && mapping.inode &&
            mapping.kind == SPACE_MEMORY)
            return true;
    return false;
}

static void do_mmap(unsigned page, unsigned count)
{
    static const int places[] = {MAP_FIXED, MAP_FIXED, MAP_FIXED, 0, MAP_FIXED_NOREPLACE};
    int place = places[pick(5)], protection = pick_protection(), flags, ours_fd = -1,
        theirs_fd = -1;
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
    long theirs = raw(SYS_mmap, THEIRS + at, length, (uint64_t)protection, (uint64_t)flags,
                      (uint64_t)theirs_fd, (uint64_t)offset);
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
    long theirs =
        raw(SYS_mremap, THEIRS + from, old_length, new_length, (uint64_t)flags, THEIRS + to, 0);
    /* Registered neighbours are joined at other moments, so that ours may be one mapping. */
    if (SPACE_REAL_PAGER && theirs == -EFAULT)
        return;
    long ours = space_mremap(OURS + from, old_length, new_length, flags, OURS + to);
    results_compare("mremap", ours, theirs);
    if (ours >= 0 && (uint64_t)ours - OURS >= ARENA) {
        /* Moved away: bring it back. */
        flags = MREMAP_MAYMOVE | MREMAP_FIXED;
        long back = space_mremap((uint64_t)ours, new_length, new_length, flags, OURS + to);
        long theirs_back = raw(SYS_mremap, (uint64_t)theirs, new_length, new_length,
                               (uint64_t)flags, THEIRS + to, 0);
        results_compare("mremap back", back, theirs_back);
        if (back < 0) {
            space_munmap((uint64_t)ours, new_length);
            munmap((void *)theirs, new_length);
        }
    }
}

static void do_madvise(unsigned page, unsigned count)
{
    static const int advices[] = {MADV_DONTNEED,   MADV_DONTNEED, MADV_WILLNEED,
                                  MADV_SEQUENTIAL, MADV_HUGEPAGE, 99,
                                  MADV_REMOVE};
    int advice = advices[pick(7)];
    if ((advice == MADV_DONTNEED || advice == MADV_REMOVE) && copied_memory(page, count))
        return;
    long ours = space_madvise(OURS + page * PAGE_BYTES, count * PAGE_BYTES - 1, advice);
    long theirs = raw(SYS_madvise, THEIRS + page * PAGE_BYTES, count * PAGE_BYTES - 1,
                      (uint64_t)advice, 0, 0, 0);
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
        results_compare("munmap", space_munmap(OURS + at, length),
                        raw(SYS_munmap, THEIRS + at, length, 0, 0, 0, 0));
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

static void worlds_create(enum mode wanted)
{
    static uint8_t contents[FILE_BYTES];
    mode = wanted;
    space_initialise(mode != MODE_LOCAL);
    for (size_t i = 0; i < sizeof contents; i++)
        contents[i] = (uint8_t)(i * 7 + i / 256);
    private_fd = memfd_create("private", 0);
    ck_assert_int_eq(write(private_fd, contents, sizeof contents), sizeof contents);
    for (int i = 0; i < 2; i++) {
        shared_fds[i] = memfd_create("shared", 0);
        ck_assert_int_eq(write(shared_fds[i], contents, sizeof contents), sizeof contents);
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    if (mode == MODE_DISTRIBUTED) {
        pager_begin();
        ck_assert_int_eq(space_distribute(), 0);
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

/* ---- errors --------------------------------------------------------------------------- */

START_TEST(errors_are_the_kernels)
{
    worlds_create(_i ? MODE_SHARED : MODE_LOCAL);
    int read_only = open("/proc/self/exe", O_RDONLY), path_only = open("/proc/self/exe", O_PATH),
        pipes[2];
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
        long ours = space_mmap(OURS + maps[i].offset, maps[i].length, maps[i].protection,
                               maps[i].flags, maps[i].fd, maps[i].file_offset);
        long theirs =
            raw(SYS_mmap, THEIRS + maps[i].offset, maps[i].length, (uint64_t)maps[i].protection,
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
#define BOTH(ours, ...)                                                                            \
    do {                                                                                           \
        long result_ = (ours), kernel_ = raw(__VA_ARGS__);                                         \
        ck_assert_msg(result_ == kernel_, "%s: %ld, kernel %ld", #ours, result_, kernel_);         \
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
    BOTH(space_mprotect(OURS, 4096, PROT_READ | 8), SYS_mprotect, THEIRS, 4096, PROT_READ | 8, 0, 0,
         0);
    BOTH(space_mprotect(OURS, 4096, PROT_GROWSDOWN), SYS_mprotect, THEIRS, 4096, PROT_GROWSDOWN, 0,
         0, 0);
    BOTH(space_mprotect(OURS, 4096, PROT_GROWSUP), SYS_mprotect, THEIRS, 4096, PROT_GROWSUP, 0, 0,
         0);
    BOTH(space_mprotect(OURS, SIZE_MAX, 0), SYS_mprotect, THEIRS, SIZE_MAX, 0, 0, 0, 0);
    BOTH(space_mprotect(-4096ul, 4096, 0), SYS_mprotect, -4096ul, 4096, 0, 0, 0, 0);
    BOTH(space_mprotect(OURS + ARENA, 4096, 0), SYS_mprotect, THEIRS + ARENA, 4096, 0, 0, 0, 0);
    BOTH(space_pkey_mprotect(OURS, 4096, PROT_READ, 14), SYS_pkey_mprotect, THEIRS, 4096, PROT_READ,
         14, 0, 0);
    BOTH(space_pkey_mprotect(OURS, 4096, PROT_READ, -2), SYS_pkey_mprotect, THEIRS, 4096, PROT_READ,
         -2ul, 0, 0);
    BOTH(space_madvise(OURS + 1, 4096, MADV_DONTNEED), SYS_madvise, THEIRS + 1, 4096, MADV_DONTNEED,
         0, 0, 0);
    BOTH(space_madvise(OURS, 0, MADV_DONTNEED), SYS_madvise, THEIRS, 0, MADV_DONTNEED, 0, 0, 0);
    BOTH(space_madvise(OURS, 0, 99), SYS_madvise, THEIRS, 0, 99, 0, 0, 0);
    BOTH(space_madvise(OURS, SIZE_MAX, MADV_DONTNEED), SYS_madvise, THEIRS, SIZE_MAX, MADV_DONTNEED,
         0, 0, 0);
    BOTH(space_madvise(OURS + ARENA, 4096, MADV_DONTNEED), SYS_madvise, THEIRS + ARENA, 4096,
         MADV_DONTNEED, 0, 0, 0);
    const int may = MREMAP_MAYMOVE, fixed = MREMAP_MAYMOVE | MREMAP_FIXED,
              keep = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
#define MREMAP(address, old, new, how, target)                                                     \
    BOTH(space_mremap(OURS + (address), old, new, how, OURS + (target)), SYS_mremap,               \
         THEIRS + (address), old, new, how, THEIRS + (target), 0)
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
    BOTH(space_mremap(OURS, 4096, 4096, fixed, -8192ul), SYS_mremap, THEIRS, 4096, 4096, fixed,
         -8192ul, 0);
    BOTH(space_shmat(-1, 0, 0), SYS_shmat, -1ul, 0, 0, 0, 0, 0);
    BOTH(space_shmat(12345678, 0, 0), SYS_shmat, 12345678, 0, 0, 0, 0, 0);
    BOTH(space_shmdt(OURS), SYS_shmdt, THEIRS, 0, 0, 0, 0, 0);
    BOTH(space_remap_file_pages(OURS, 4096, 0, 0, 0), SYS_remap_file_pages, THEIRS, 4096, 0, 0, 0,
         0);
    BOTH(space_remap_file_pages(OURS, 4096, 1, 0, 0), SYS_remap_file_pages, THEIRS, 4096, 1, 0, 0,
         0);
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
    ck_assert_int_eq(space_mmap(0x600000000000, 1ul << 46, PROT_NONE, A | MAP_FIXED, -1, 0),
                     -ENOMEM);
    ck_assert_int_eq(space_munmap(0x700000000000, PAGE_BYTES), -EINVAL);
    ck_assert_int_eq(space_mprotect(0x700000000000, PAGE_BYTES, 0), -ENOMEM);
    ck_assert_int_eq(space_mremap(0x700000000000, PAGE_BYTES, PAGE_BYTES, 0, 0), -EFAULT);
    ck_assert_int_eq(space_madvise(0x700000000000, PAGE_BYTES, MADV_DONTNEED), -ENOMEM);
    space_mmap(0, 1ul << 46, PROT_NONE, A | MAP_NORESERVE, -1,
               0); /* may fit: the test's own heap is in the way */
    ck_assert_int_eq(space_mmap(0, 1ul << 46, PROT_NONE, A | MAP_NORESERVE, -1, 0), -ENOMEM);
}
END_TEST

START_TEST(memory_the_map_does_not_know_is_left_alone)
{
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    worlds_create(MODE_LOCAL);
    uint64_t first = (uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A, -1, 0);
    uint64_t foreign = first - 64 * PAGE_BYTES;
    ck_assert_ptr_eq(mmap((void *)foreign, 64 * PAGE_BYTES, PROT_READ, A | MAP_FIXED, -1, 0),
                     (void *)foreign);
    uint64_t second = (uint64_t)space_mmap(0, PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert(second < foreign);
    uint64_t third = (uint64_t)space_mmap(foreign, PAGE_BYTES, PROT_READ, A, -1, 0);
    ck_assert(third < foreign);
    /* A growing stack: found by the kernel, not by the map. */
    ck_assert_int_eq(
        space_mmap(OURS, PAGE_BYTES, PROT_READ | PROT_WRITE, A | MAP_FIXED | MAP_GROWSDOWN, -1, 0),
        OURS);
    ck_assert_int_eq(touch(OURS - 100 * PAGE_BYTES, true, 1), 0);
    ck_assert((uint64_t)space_mmap(OURS - PAGE_BYTES, PAGE_BYTES, PROT_READ, A, -1, 0) !=
              OURS - PAGE_BYTES);
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
    double us =
        (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
    fprintf(stderr, "%.2f us a call with %d mappings\n", us / (2 * COUNT), COUNT);
    ck_assert(us / (2 * COUNT) < 50);
}
END_TEST

START_TEST(the_map_count_limit_is_the_kernels)
{
    const int A = MAP_PRIVATE | MAP_ANONYMOUS;
    worlds_create(MODE_LOCAL);
    uint64_t big =
        (uint64_t)space_mmap(0, 70000ul * 2 * PAGE_BYTES, PROT_NONE, A | MAP_NORESERVE, -1, 0);
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
    uint64_t first = (uint64_t)space_shmat(id, 0, 0),
             second = (uint64_t)space_shmat(id, 0, SHM_RDONLY);
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
    ck_assert_int_eq(space_mremap(OURS + 2 * PAGE_BYTES, 0, PAGE_BYTES,
                                  MREMAP_MAYMOVE | MREMAP_FIXED, OURS + ARENA),
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
    space_mmap(base + PAGE_BYTES, 2 * PAGE_BYTES, PROT_READ | PROT_EXEC, P | MAP_FIXED, private_fd,
               PAGE_BYTES);
    space_mmap(base + 6 * PAGE_BYTES, 2 * PAGE_BYTES, RW, P | MAP_FIXED, private_fd,
               3 * PAGE_BYTES);
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
    space_mmap(other + PAGE_BYTES, PAGE_BYTES, PROT_READ | PROT_EXEC, P | MAP_FIXED, private_fd,
               PAGE_BYTES);
    space_mmap(other + 4 * PAGE_BYTES, PAGE_BYTES, RW, P | MAP_FIXED, private_fd, 2 * PAGE_BYTES);
    for (unsigned page = 0; page < 5; page += page ? 3 : 1) {
        ck_assert(space_lookup(other + page * PAGE_BYTES, &mapping));
        ck_assert_uint_eq(mapping.object, other);
    }
    uint64_t stubs =
        (uint64_t)space_map_near(PAGE_BYTES, PROT_READ | PROT_EXEC, base, base + 12 * PAGE_BYTES);
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
    ck_assert(space_lookup(OURS, &mapping) && mapping.kind == SPACE_FILE &&
              mapping.protection == PROT_NONE);
    ck_assert(space_lookup(OURS + PAGE_BYTES, &mapping) && mapping.kind == SPACE_MEMORY);
    ck_assert_uint_eq(mapping.end, OURS + 6 * PAGE_BYTES);
    ck_assert(space_lookup(OURS + 6 * PAGE_BYTES, &mapping) && mapping.kind == SPACE_PINNED);
    ck_assert_int_eq(touch(OURS, false, 0), SIGSEGV);
    ck_assert_int_eq(touch(OURS + 7 * PAGE_BYTES, true, 0), SIGBUS);
    ck_assert_uint_eq(*(uint8_t *)(OURS + PAGE_BYTES + 3),
                      (uint8_t)((PAGE_BYTES + 3) * 7 + (PAGE_BYTES + 3) / 256));
    ck_assert_uint_eq(*(uint8_t *)(OURS + 5 * PAGE_BYTES + 701), 0);
    /* What has been written stays through advice that would bring the file back. */
    *(uint8_t *)(OURS + PAGE_BYTES) = 99;
    ck_assert_int_eq(space_madvise(OURS + PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED), 0);
    ck_assert_uint_eq(*(uint8_t *)(OURS + PAGE_BYTES), 99);
    ck_assert_int_eq(
        space_mremap(OURS + 5 * PAGE_BYTES, PAGE_BYTES, 20 * PAGE_BYTES, MREMAP_MAYMOVE, 0),
        -ENOMEM);
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
    ck_assert_int_eq(space_mmap(OURS + 8 * PAGE_BYTES, PAGE_BYTES, RW, A, -1, 0),
                     OURS + 8 * PAGE_BYTES);
    ck_assert_int_eq(space_munmap(OURS + 8 * PAGE_BYTES, PAGE_BYTES), 0);
    ck_assert_uint_eq(dropped, 0);
    ck_assert_int_eq(space_madvise(OURS, PAGE_BYTES, MADV_FREE), 0);
    ck_assert_uint_eq(dropped, 1);
    space_text_changed(OURS + 100, OURS + 3 * PAGE_BYTES);
    ck_assert_uint_eq(recalled, 1);
    ck_assert_int_eq(space_munmap(OURS, 4 * PAGE_BYTES), 0);
    ck_assert_uint_eq(dropped, 2);
    /* A mapping of files is fetched, up to their end; a window limits an answer. */
    ck_assert_int_eq(
        space_mmap(OURS, 8 * PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_FIXED, private_fd, 0), OURS);
    fault = (struct wire_fault){.address = OURS + 5 * PAGE_BYTES};
    space_peer_lookup(2, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_FILE);
    fault.address = OURS + 6 * PAGE_BYTES;
    space_peer_lookup(2, &fault, &answer);
    ck_assert_uint_eq(answer.kind, WIRE_MAPPING_PINNED);
    uint64_t giant = (uint64_t)space_mmap(0, 1ul << 40, PROT_READ,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fault.address = giant + (7ul << 30) + 123;
    space_peer_lookup(2, &fault, &answer);
    ck_assert(answer.end - answer.start == 1ul << 30 && answer.start <= fault.address &&
              fault.address < answer.end);
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
    ck_assert_int_eq(space_mmap(OURS, 4 * PAGE_BYTES, RW, MAP_SHARED | MAP_FIXED,
                                open("/proc/self/exe", O_RDONLY), 0),
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
        bool right =
            space_lookup(OURS, &mapping) && mapping.nodes == 0 &&
            space_munmap(OURS, PAGE_BYTES) == 0 && dropped == 0 &&
            space_mmap(OURS, PAGE_BYTES, RW, MAP_PRIVATE | MAP_FIXED, private_fd, 0) == OURS &&
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

#endif

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tests = tcase_create("space");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, random_calls_distributed);
#if !SPACE_REAL_PAGER
    tcase_add_test(tests, random_calls_local);
    tcase_add_test(tests, random_calls_shared);
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
#endif
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
