/*
 * Two worlds that tests of the address-space map compare: an arena of the map's and one of the kernel's, with simulated
 * peers whose beliefs must stay true. Not for what is called in them. Each test program includes this once.
 */
#ifndef TESTS_UNIT_SPACE_WORLDS_H
#define TESTS_UNIT_SPACE_WORLDS_H

#pragma GCC diagnostic ignored "-Wunused-function"

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
            if ((nodes >> node & 1) && OURS + page * PAGE_BYTES >= start && OURS + page * PAGE_BYTES < end)
                views[node][page].protection = protection;
}
static void pager_begin(void)
{
}
#else
static void pager_begin(void)
{
    static const struct pager_callbacks callbacks;
    static const struct pager_configuration configuration = {.node = HOME_NODE, .callbacks = &callbacks};
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
            ck_assert_msg(space_lookup(OURS + page * PAGE_BYTES, &mapping), "node %u knows hole %u", node, page);
            ck_assert_msg(mapping.nodes >> node & 1, "node %u is not recorded for page %u", node, page);
            ck_assert_msg(mapping.kind != SPACE_PINNED, "node %u knows pinned page %u", node, page);
            ck_assert_msg((mapping.kind == SPACE_FILE) == (view->kind == WIRE_MAPPING_FILE), "kind of page %u", page);
            ck_assert_msg((view->protection & ~mapping.protection) == 0, "node %u may too much in page %u", node, page);
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
    ck_assert_msg(page_read(THEIRS + page * PAGE_BYTES, theirs) == readable, "page %u is readable: %d", page, readable);
    if (!readable)
        return;
    if (owners[page].away)
        memcpy(ours, &owners[page].value, sizeof owners[page].value);
    ck_assert_msg(memcmp(ours, theirs, PAGE_BYTES) == 0, "page %u differs: %lx, %lx", page, *(uint64_t *)ours,
                  *(uint64_t *)theirs);
}

static void worlds_compare(void)
{
    struct picture ours, theirs;
    picture_take(OURS, &ours);
    picture_take(THEIRS, &theirs);
    for (unsigned page = 0; page < PAGES; page++) {
        struct space_mapping mapping;
        const char *permissions = ours.permissions[page];
        ck_assert_msg(strcmp(permissions, theirs.permissions[page]) == 0, "page %u is %s, the kernel's %s", page,
                      permissions, theirs.permissions[page]);
        bool there = space_lookup(OURS + page * PAGE_BYTES, &mapping);
        ck_assert_msg(there == (permissions[0] != 0), "page %u: map %d, %s", page, there, permissions);
        if (!there)
            continue;
        uint32_t protection = (permissions[0] == 'r' ? PROT_READ : 0) | (permissions[1] == 'w' ? PROT_WRITE : 0) |
                              (permissions[2] == 'x' ? PROT_EXEC : 0);
        ck_assert_msg(mapping.protection == protection, "page %u: map %x, %s", page, mapping.protection, permissions);
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

static int space_suite_run(const char *name, TCase *tests)
{
    Suite *suite = suite_create(name);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
