/*
 * Two nodes on one machine: each its own process, loop and userfaultfd, joined by a TCP connection
 * over loopback. What programs rely on: atomics, ordering, the kernel's own accesses, and what home
 * asks of peers.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pager.h"

#define REGION_START 0x100000000000ul
#define REGION_BYTES (16ul << 20)
#define FILE_START   0x110000000000ul
#define FILE_PAGES   40ul
#define PEER         1u
#define PEERS        (1ull << PEER)
#define TIMEOUT_MS   5000

/* Memory that both processes share for real: barriers and results, outside of what is tested. */
struct control {
    _Atomic uint32_t arrived, phase;
    _Atomic uint32_t port;
    _Atomic uint32_t dropped, protected, interrupted, lost_node;
    _Atomic uint64_t value[8];
    char failure[200];
};
static struct control *control;
static unsigned node;
static pid_t peer_pid;
static struct channel *raw_channel; /* peer, when a test speaks for itself */

static uint8_t *const region = (uint8_t *)REGION_START;
static uint8_t *const file_region = (uint8_t *)FILE_START;

#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            expectation_failed(#condition, __LINE__);                                                                  \
    } while (0)

static void expectation_failed(const char *what, int line)
{
    snprintf(control->failure, sizeof control->failure, "node %u, line %d: %s", node, line, what);
    if (node == HOME_NODE)
        ck_abort_msg("%s", control->failure);
    _exit(3);
}

static void barrier_wait(void)
{
    uint32_t phase = control->phase;
    if (atomic_fetch_add(&control->arrived, 1) == 1) {
        control->arrived = 0;
        control->phase++;
    } else {
        while (control->phase == phase) {
            if (control->failure[0] != 0)
                expectation_failed("the other node goes on", __LINE__);
            sched_yield();
        }
    }
}

/* ---- a cluster of two ------------------------------------------------------------------------ */

static void callback_range(enum wire_type type, const struct wire_range *range)
{
    if (type == WIRE_RANGE_DROP) {
        munmap((void *)range->start, range->end - range->start);
        control->dropped++;
    } else {
        mprotect((void *)range->start, range->end - range->start, (int)range->protection);
        control->protected ++;
    }
}

static void callback_interrupt(uint32_t thread)
{
    control->interrupted = thread;
}

static void callback_statistics(struct wire_statistics *statistics)
{
    statistics->calls_local = 1000 + node;
}

static void callback_node_lost(unsigned lost, size_t pages)
{
    (void)pages;
    if (node != HOME_NODE)
        _exit(lost == HOME_NODE ? 0 : 4);
    control->lost_node = lost;
}

static const struct pager_callbacks callbacks = {
    .range = callback_range,
    .interrupt = callback_interrupt,
    .statistics = callback_statistics,
    .node_lost = callback_node_lost,
};

static void region_map(void)
{
    void *at = mmap(region, REGION_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    EXPECT(at == region);
    EXPECT(pager_register(REGION_START, REGION_BYTES) == 0);
}

static struct channel *peer_connect(void)
{
    static const uint8_t session[16] = {1};
    char address[32], why[WIRE_MESSAGE_BYTES];
    struct channel *channel;
    while (control->port == 0)
        usleep(100);
    snprintf(address, sizeof address, "127.0.0.1:%u", control->port);
    EXPECT(channel_connect(address, WIRE_KIND_SESSION, session, NULL, TIMEOUT_MS, 0, &channel, why) == 0);
    return channel;
}

static struct channel *home_accept(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    char why[WIRE_MESSAGE_BYTES];
    struct wire_preamble preamble;
    struct channel *channel;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(bind(listener, (struct sockaddr *)&name, sizeof name) == 0 && listen(listener, 1) == 0);
    EXPECT(getsockname(listener, (struct sockaddr *)&name, &length) == 0);
    control->port = ntohs(name.sin_port);
    int fd = accept(listener, NULL, NULL);
    EXPECT(fd >= 0);
    EXPECT(channel_read_preamble(fd, TIMEOUT_MS, &preamble) == 0 && preamble.kind == WIRE_KIND_SESSION);
    EXPECT(channel_accept(fd, NULL, TIMEOUT_MS, &channel, why) == 0);
    close(listener);
    return channel;
}

static enum wire_compress compress;
static struct wire_statistics statistics[NODES_MAX]; /* of the last cluster, at its end */

/* Runs `body` on both nodes; the peer ends when home says so. `raw`: the peer has a connection but
 * no pager. */
static void cluster_run(void (*body)(void), bool raw)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(control, MAP_FAILED);
    peer_pid = fork();
    ck_assert_int_ge(peer_pid, 0);
    node = peer_pid == 0 ? PEER : HOME_NODE;
    struct channel *channel = node == PEER ? peer_connect() : home_accept();
    if (node == PEER && raw) {
        raw_channel = channel;
        body();
        _exit(0);
    }
    struct pager_configuration configuration = {.node = node, .compress = compress, .callbacks = &callbacks};
    EXPECT(pager_start(&configuration, why) == 0);
    EXPECT(pager_running());
    region_map();
    EXPECT(pager_add_node(node == PEER ? HOME_NODE : PEER, channel) == 0);
    if (!raw)
        barrier_wait();
    body();
    if (!raw)
        barrier_wait();
    if (node == PEER) {
        sleep(10);
        _exit(5);
    }
    int status = 0;
    pager_statistics(statistics, true, TIMEOUT_MS);
    ck_assert_int_eq(waitpid(peer_pid, &status, 0), peer_pid);
    ck_assert_msg(control->failure[0] == 0, "%s", control->failure);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "peer ended with 0x%x", status);
    if (!raw) {
        ck_assert_uint_eq(statistics[HOME_NODE].calls_local, 1000);
        ck_assert_uint_eq(statistics[PEER].calls_local, 1001);
    }
}

static void threads_run(unsigned count, void *(*function)(void *))
{
    pthread_t threads[8];
    for (uintptr_t i = 0; i < count; i++)
        EXPECT(pthread_create(&threads[i], NULL, function, (void *)i) == 0);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/* ---- atomics and ordering -------------------------------------------------------------------- */

#define ADDITIONS 20000u

static void *counter_add(void *argument)
{
    _Atomic uint64_t *counters = (_Atomic uint64_t *)region;
    for (unsigned i = 0; i < ADDITIONS; i++)
        counters[((uintptr_t)argument + i) % 3 * (PAGE_BYTES / 8)]++;
    return NULL;
}

static void counters_body(void)
{
    threads_run(2, counter_add);
    barrier_wait();
    const _Atomic uint64_t *counters = (_Atomic uint64_t *)region;
    EXPECT(counters[0] + counters[PAGE_BYTES / 8] + counters[2 * PAGE_BYTES / 8] == 4ul * ADDITIONS);
}

START_TEST(counters_are_exact)
{
    cluster_run(counters_body, false);
}
END_TEST

/* A program may forbid itself descriptors: poll(2) then fails for the loop. */
static void limit_body(void)
{
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    counters_body();
}

START_TEST(descriptor_limit_of_the_program)
{
    cluster_run(limit_body, false);
}
END_TEST

#define ROUNDS 1500u

/* Store buffer: with a fence between, at least one node sees the other's store. */
static void store_buffer_body(void)
{
    volatile uint64_t *mine = (uint64_t *)(region + (node == HOME_NODE ? 0 : PAGE_BYTES));
    volatile uint64_t *theirs = (uint64_t *)(region + (node == HOME_NODE ? PAGE_BYTES : 0));
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        barrier_wait();
        *mine = round;
        atomic_thread_fence(memory_order_seq_cst);
        control->value[node] = *theirs;
        barrier_wait();
        EXPECT(control->value[0] == round || control->value[1] == round);
    }
}

START_TEST(store_buffer_litmus)
{
    cluster_run(store_buffer_body, false);
}
END_TEST

/* Message passing: who sees the flag sees the data, without any fence (TSO). */
static void message_passing_body(void)
{
    volatile uint64_t *data = (uint64_t *)region, *flag = (uint64_t *)(region + 5 * PAGE_BYTES);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        if ((round & 1) == node) {
            *data = round;
            *flag = round;
        } else {
            while (*flag < round)
                sched_yield();
            EXPECT(*data >= round);
        }
    }
}

START_TEST(message_passing_litmus)
{
    cluster_run(message_passing_body, false);
}
END_TEST

/* Both words of an addition lie on two pages, and both nodes want both. */
static void crossing_body(void)
{
    uint64_t *word = (uint64_t *)(region + 3 * PAGE_BYTES - 3);
    for (unsigned i = 0; i < 500; i++)
        __asm__ volatile("lock addq $1, %0" : "+m"(*word)::"memory");
    barrier_wait();
    uint64_t sum;
    memcpy(&sum, word, sizeof sum);
    EXPECT(sum == 1000);
}

START_TEST(page_crossing_atomics)
{
    cluster_run(crossing_body, false);
}
END_TEST

/* ---- contents -------------------------------------------------------------------------------- */

#define BULK_PAGES 1024u

static void bulk_body(void)
{
    for (unsigned round = 0; round < 4; round++) {
        unsigned writer = round & 1;
        if (node == writer) {
            for (unsigned page = 0; page < BULK_PAGES; page++)
                memset(region + page * PAGE_BYTES, (int)(page % 251 + round), PAGE_BYTES);
        }
        barrier_wait();
        if (node != writer) {
            for (size_t at = 0; at < BULK_PAGES * PAGE_BYTES; at++)
                EXPECT(region[at] == (uint8_t)(at / PAGE_BYTES % 251 + round));
        }
        barrier_wait();
    }
    EXPECT(region[REGION_BYTES - 1] == 0);
}

START_TEST(bulk_contents)
{
    cluster_run(bulk_body, false);
}
END_TEST

START_TEST(bulk_contents_packed)
{
    compress = WIRE_COMPRESS_ALWAYS;
    cluster_run(bulk_body, false);
    ck_assert_uint_gt(statistics[HOME_NODE].bytes_saved + statistics[PEER].bytes_saved, 0);
}
END_TEST

/* Memory that nobody has used, in no order: more of it comes with each page, until somebody else's does. */
#define FRESH_PAGES 1024u

static void fresh_body(void)
{
    uint64_t *words = (uint64_t *)region;
    const size_t page_words = PAGE_BYTES / sizeof *words;
    for (unsigned step = 0; node == PEER && step < FRESH_PAGES; step++) {
        uint64_t *word = words + step * 389u % FRESH_PAGES * page_words;
        EXPECT(__atomic_exchange_n(word, step + 1, __ATOMIC_SEQ_CST) == 0);
    }
    barrier_wait();
    for (unsigned step = 0; node == HOME_NODE && step < FRESH_PAGES; step++)
        EXPECT(words[step * 389u % FRESH_PAGES * page_words] == step + 1);
}

START_TEST(fresh_memory_comes_in_blocks)
{
    uint64_t faults = 0;
    cluster_run(fresh_body, false);
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        faults += statistics[PEER].fault_latency[i];
    ck_assert_uint_lt(faults, FRESH_PAGES / 4);
    ck_assert_uint_eq(statistics[PEER].pages_zero, FRESH_PAGES);
}
END_TEST

/* read(2) and write(2) wait for pages of the other node as an instruction would. */
static void kernel_body(void)
{
    int ends[2];
    EXPECT(pipe(ends) == 0);
    for (unsigned round = 0; round < 50; round++) {
        uint8_t *at = region + (round + 1) * 2 * PAGE_BYTES - 50; /* across two pages */
        if ((round & 1) == node)
            memset(at - 50, (int)round, 200);
        barrier_wait();
        if ((round & 1) != node) {
            char bytes[100];
            memset(bytes, 0x5a, sizeof bytes);
            EXPECT(write(ends[1], bytes, sizeof bytes) == sizeof bytes);
            EXPECT(read(ends[0], at, 100) == 100);
            EXPECT(write(ends[1], at - 50, 200) == 200);
            uint8_t back[200];
            EXPECT(read(ends[0], back, 200) == 200);
            EXPECT(back[49] == round && back[50] == 0x5a && back[149] == 0x5a && back[150] == round);
        }
        barrier_wait();
        EXPECT(at[-1] == round && at[0] == 0x5a && at[99] == 0x5a && at[100] == round);
    }
    close(ends[0]);
    close(ends[1]);
}

START_TEST(kernel_accesses)
{
    cluster_run(kernel_body, false);
}
END_TEST

/* The page that bounces is the stack of a thread that runs on it. */
static void *stack_user(void *argument)
{
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < 300000; i++)
        sum += i;
    *(uint64_t *)argument = sum;
    return NULL;
}

static void stack_body(void)
{
    uint8_t *stack = region + (1 << 20);
    static uint64_t sum;
    if (node == HOME_NODE) {
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        EXPECT(pthread_attr_setstack(&attributes, stack, 64 << 10) == 0);
        EXPECT(pthread_create(&thread, &attributes, stack_user, &sum) == 0);
        pthread_join(thread, NULL);
        EXPECT(sum == 300000ul * 299999ul / 2);
        control->value[0] = 1;
    } else {
        while (control->value[0] == 0) {
            for (size_t page = 0; page < 16; page++)
                ((volatile uint8_t *)stack)[page * PAGE_BYTES]++; /* the lowest byte: no frame of
                                                                     the thread is there */
        }
    }
}

START_TEST(stack_that_bounces)
{
    cluster_run(stack_body, false);
}
END_TEST

/* ---- what home asks of peers ----------------------------------------------------------------- */

static void ranges_body(void)
{
    volatile uint64_t *word = (uint64_t *)(region + 64 * PAGE_BYTES);
    if (node == PEER)
        *word = 77;
    barrier_wait();
    if (node == HOME_NODE) {
        pager_recall(REGION_START, REGION_START + REGION_BYTES, PEERS);
        EXPECT(control->dropped == 1);
        EXPECT(*word == 77);
        *word = 78;
    }
    barrier_wait();
    if (node == PEER) {
        region_map();
        EXPECT(*word == 78);
        *word = 79;
        *(volatile uint64_t *)(region + 70 * PAGE_BYTES) = 80;
    }
    barrier_wait();
    if (node == HOME_NODE) { /* munmap and mmap at home: zero again */
        pager_drop(REGION_START, REGION_START + REGION_BYTES, PEERS);
        EXPECT(control->dropped == 2);
        EXPECT(munmap(region, REGION_BYTES) == 0);
        region_map();
        EXPECT(*word == 0);
        pager_interrupt(PEER, 4711);
    }
    barrier_wait();
    if (node == PEER) {
        region_map();
        EXPECT(*word == 0);
    }
    barrier_wait();
    if (node == HOME_NODE) {
        pager_protect(REGION_START, REGION_START + PAGE_BYTES, PROT_READ, PEERS);
        EXPECT(control->protected == 1);
        EXPECT(control->interrupted == 4711);
    }
}

START_TEST(ranges_recalled_dropped_protected)
{
    cluster_run(ranges_body, false);
}
END_TEST

static void freeze_body(void)
{
    volatile uint64_t *word = (uint64_t *)region;
    for (unsigned round = 0; round < 20; round++) {
        barrier_wait();
        if (node == PEER) {
            while (control->value[0] != round + 1)
                (*word)++;
            continue;
        }
        usleep(2000);
        pager_freeze();
        uint64_t before = *word;
        usleep(3000);
        EXPECT(*word == before);
        pager_thaw();
        uint64_t deadline = 2000;
        while (*word == before && deadline-- > 0)
            usleep(1000);
        EXPECT(*word > before);
        control->value[0] = round + 1;
    }
}

START_TEST(freeze_stops_writers)
{
    cluster_run(freeze_body, false);
}
END_TEST

/* ---- file pages ------------------------------------------------------------------------------ */

static sigjmp_buf beyond_end;

static void on_segv(int signal_number)
{
    siglongjmp(beyond_end, signal_number);
}

static void *file_read(void *argument)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < FILE_PAGES; i++)
        sum = (uint8_t)(sum + file_region[(i * 7 + (uintptr_t)argument) % FILE_PAGES * PAGE_BYTES]);
    return NULL;
}

static void file_body(void)
{
    if (node == HOME_NODE) { /* the mapping is longer than the file */
        int fd = memfd_create("pages", MFD_CLOEXEC);
        EXPECT(ftruncate(fd, FILE_PAGES * PAGE_BYTES) == 0);
        for (size_t page = 0; page < FILE_PAGES; page++)
            EXPECT(pwrite(fd, &page, sizeof page, (off_t)(page * PAGE_BYTES)) == sizeof page);
        EXPECT(mmap(file_region, (FILE_PAGES + 4) * PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0) ==
               file_region);
    } else {
        EXPECT(mmap(file_region, (FILE_PAGES + 4) * PAGE_BYTES, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == file_region);
        EXPECT(pager_register_file(FILE_START, (FILE_PAGES + 4) * PAGE_BYTES) == 0);
    }
    barrier_wait();
    if (node == PEER) {
        threads_run(4, file_read);
        for (size_t page = 0; page < FILE_PAGES; page++) {
            size_t seen;
            memcpy(&seen, file_region + page * PAGE_BYTES, sizeof seen);
            EXPECT(seen == page);
        }
        struct sigaction action = {.sa_handler = on_segv};
        sigaction(SIGSEGV, &action, NULL);
        volatile bool read_beyond = false;
        if (sigsetjmp(beyond_end, 1) == 0) {
            (void)*(volatile uint8_t *)(file_region + (FILE_PAGES + 1) * PAGE_BYTES);
            read_beyond = true;
        }
        EXPECT(!read_beyond);
        EXPECT(control->dropped == 1);
    }
}

START_TEST(file_pages_are_fetched)
{
    cluster_run(file_body, false);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

static void lost_wait(void)
{
    for (int tries = 0; tries < 2000 && control->lost_node == 0; tries++)
        usleep(1000);
    EXPECT(control->lost_node == PEER);
}

static void nonsense_body(void)
{
    if (node == PEER) {
        uint8_t nonsense[11] = {1, 2, 3};
        struct iovec part = {nonsense, sizeof nonsense};
        EXPECT(channel_send(raw_channel, WIRE_PAGE_REQUEST, &part, 1) == 0);
        struct wire_frame frame;
        uint8_t bytes[64];
        EXPECT(channel_receive(raw_channel, &frame, bytes, sizeof bytes) < 0);
        return;
    }
    lost_wait();
}

START_TEST(nonsense_ends_the_connection)
{
    cluster_run(nonsense_body, true);
}
END_TEST

static void lost_body(void)
{
    volatile uint64_t *word = (uint64_t *)region;
    if (node == PEER)
        return; /* _exit follows, without a word */
    lost_wait();
    *word = 5;
    EXPECT(*word == 5);
}

START_TEST(node_that_dies_is_reported)
{
    cluster_run(lost_body, true);
}
END_TEST

/* In the child of a fork nothing is registered and everything can be read. */
static void forget_body(void)
{
    volatile uint64_t *word = (uint64_t *)region;
    if (node == PEER)
        *word = 11;
    barrier_wait();
    if (node != HOME_NODE)
        return;
    pager_freeze();
    pid_t child = fork();
    if (child == 0) {
        pager_forget();
        bool good = !pager_running() && *word == 11;
        *word = 12;
        _exit(good && *word == 12 && region[REGION_BYTES - 1] == 0 ? 0 : 1);
    }
    pager_thaw();
    int status;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(*word == 11);
}

START_TEST(fork_child_forgets)
{
    cluster_run(forget_body, false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pager");
    TCase *tests = tcase_create("two nodes");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, counters_are_exact);
    tcase_add_test(tests, store_buffer_litmus);
    tcase_add_test(tests, message_passing_litmus);
    tcase_add_test(tests, page_crossing_atomics);
    tcase_add_test(tests, bulk_contents);
    tcase_add_test(tests, bulk_contents_packed);
    tcase_add_test(tests, fresh_memory_comes_in_blocks);
    tcase_add_test(tests, kernel_accesses);
    tcase_add_test(tests, stack_that_bounces);
    tcase_add_test(tests, ranges_recalled_dropped_protected);
    tcase_add_test(tests, freeze_stops_writers);
    tcase_add_test(tests, file_pages_are_fetched);
    tcase_add_test(tests, nonsense_ends_the_connection);
    tcase_add_test(tests, node_that_dies_is_reported);
    tcase_add_test(tests, fork_child_forgets);
    tcase_add_test(tests, descriptor_limit_of_the_program);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
