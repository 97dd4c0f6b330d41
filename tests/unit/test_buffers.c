/*
 * Buffers that go along with calls: every call of the list with random arguments, a kernel that writes what it may
 * write, and messages that are damaged on the way. Not for the exchange itself: tests/programs/call_buffers.c.
 */
/* links: monitor/buffers.c syscall/table.c */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "monitor/buffers.h"
#include "monitor/user.h"
#include "syscall/entry.h"

#define ARGUMENT_BYTES (3 * PAGE_BYTES) /* of the program's memory for each argument */

static uint8_t program[6][ARGUMENT_BYTES], expected[6][ARGUMENT_BYTES];
static struct iovec parts[8]; /* of a call's vector */
static uint64_t missing;      /* an address that faults */

/* ---- in place of the assembly --------------------------------------------------------------------------------------
 */

size_t user_copy(void *to, const void *from, size_t size)
{
    if ((uint64_t)to == missing || (uint64_t)from == missing || from == NULL)
        return size;
    memcpy(to, from, size);
    return 0;
}

long user_compare_exchange(uint32_t *word, uint32_t before, uint32_t after, uint32_t *seen)
{
    ck_assert(before == after); /* nothing changes */
    ck_assert_int_eq((uint64_t)word % 4, 0);
    *seen = *word;
    return (uint64_t)word == (missing & ~3ul) ? -14 : 0;
}

long user_string(char *to, uint64_t from, size_t size)
{
    size_t length = strnlen((char *)from, size);
    if (from == missing || length == size)
        return -14;
    memcpy(to, (char *)from, length + 1);
    return (long)length;
}

/* ---- random calls ---------------------------------------------------------------------------------------------------
 */

static uint64_t pick(uint64_t bound)
{
    return (uint64_t)random() % bound;
}

static bool is_vector(uint8_t type)
{
    return type == ARG_IOVEC_IN || type == ARG_IOVEC_OUT;
}

static bool is_written(uint8_t type)
{
    return type == ARG_OUT || type == ARG_INOUT || type == ARG_IOVEC_OUT;
}

/* Parts of [at, ..) with gaps in between: their bytes. */
static size_t vector_make(uint8_t *at, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){at, pick(3) ? pick(700) : 0};
        at += parts[i].iov_len + pick(50);
        sum += parts[i].iov_len;
    }
    return sum;
}

/* Where byte `offset` of the vector is in the program's memory. */
static uint8_t *vector_at(size_t offset)
{
    const struct iovec *part = parts;
    while (offset >= part->iov_len)
        offset -= part++->iov_len;
    return (uint8_t *)part->iov_base + offset;
}

/* Arguments of a call, pointers into the program's memory; how many bytes the buffer of each has. */
static void arguments_make(const struct call_row *row, uint64_t a[6], size_t bytes[6])
{
    memset(bytes, 0, 6 * sizeof *bytes);
    for (unsigned i = 0; i < 6; i++)
        a[i] = pick(2000);
    for (unsigned i = 0; i < row->count; i++) {
        const struct call_size *size = &row->sizes[i];
        uint8_t *at = &program[i][pick(PAGE_BYTES)];
        for (size_t j = 0; j < ARGUMENT_BYTES; j++)
            program[i][j] = (uint8_t)random();
        switch (row->arguments[i]) {
        case ARG_PATH:
        case ARG_STRING:
            bytes[i] = 1 + pick(400);
            memset(at, 'p', bytes[i] - 1);
            at[bytes[i] - 1] = 0;
            break;
        case ARG_IN:
        case ARG_OUT:
        case ARG_INOUT:
            if (size->argument >= 0)
                a[(unsigned)size->argument] = pick(1500 / size->bytes);
            break;
        case ARG_IOVEC_IN:
        case ARG_IOVEC_OUT:
            a[(unsigned)size->argument] = pick(sizeof parts / sizeof parts[0] + 1);
            bytes[i] = vector_make(at, a[(unsigned)size->argument]);
            a[i] = (uint64_t)parts;
            continue;
        default:
            continue;
        }
        a[i] = pick(10) ? (uint64_t)at : 0;
    }
    for (unsigned i = 0; i < row->count; i++) { /* now that counts are known */
        const struct call_size *size = &row->sizes[i];
        uint8_t type = row->arguments[i];
        if ((type != ARG_IN && type != ARG_OUT && type != ARG_INOUT) || a[i] == 0)
            continue;
        bytes[i] = size->argument >= 0 ? a[(unsigned)size->argument] * size->bytes : size->bytes;
        if (size->argument == -2 && a[size->bytes] != 0) {
            socklen_t length = (socklen_t)pick(200);
            bytes[i] = length;
            memcpy((void *)a[size->bytes], &length, sizeof length);
        }
    }
    for (unsigned i = 0; i < 6; i++)
        if (a[i] == 0)
            bytes[i] = 0;
}

/* Does a length that is not there stand for a buffer that is? */
static bool length_missing(const struct call_row *row, const uint64_t a[6])
{
    for (unsigned i = 0; i < row->count; i++)
        if (row->sizes[i].argument == -2 && a[i] != 0 && a[row->sizes[i].bytes] == 0)
            return true;
    return false;
}

/* The kernel: reads what is to be read, writes into what may be written, and says how much. */
static long kernel(uint64_t number, const uint64_t a[6], const uint64_t original[6], const size_t bytes[6])
{
    const struct call_row *row = &call_table[number];
    long result = (long)pick(3) - 1;
    for (unsigned i = 0; i < row->count; i++) {
        uint8_t type = row->arguments[i];
        if (bytes[i] == 0)
            continue;
        ck_assert_msg(a[i] != original[i], "%s: argument %u stays where it was", row->name, i);
        if (is_vector(type)) {
            const struct iovec *whole = (const struct iovec *)a[i];
            ck_assert(a[(unsigned)row->sizes[i].argument] == 1 && whole->iov_len == bytes[i]);
            ck_assert_int_eq((uint64_t)whole->iov_base % PAGE_BYTES, 0);
            for (size_t j = 0; type == ARG_IOVEC_IN && j < bytes[i]; j++)
                ck_assert(((uint8_t *)whole->iov_base)[j] == *vector_at(j));
            if (result > 0)
                result = (long)pick(bytes[i] + 1);
            continue;
        }
        ck_assert_int_eq(a[i] % PAGE_BYTES, original[i] % PAGE_BYTES);
        if (type != ARG_OUT)
            ck_assert_mem_eq((void *)a[i], (void *)original[i], bytes[i]);
        if (type == ARG_OUT && row->sizes[i].argument >= 0 && result > 0)
            result = (long)pick(a[(unsigned)row->sizes[i].argument] + 2);
    }
    memcpy(expected, program, sizeof program);
    for (unsigned i = 0; i < row->count; i++) {
        const struct call_size *size = &row->sizes[i];
        uint8_t type = row->arguments[i];
        if (bytes[i] == 0 || !is_written(type) || (result < 0 && type != ARG_INOUT))
            continue;
        for (long j = 0; is_vector(type) && j < result; j++) {
            uint8_t byte = (uint8_t)random();
            ((uint8_t *)((const struct iovec *)a[i])->iov_base)[j] = byte;
            expected[i][vector_at((size_t)j) - program[i]] = byte;
        }
        if (is_vector(type))
            continue;
        size_t count = bytes[i], most;
        if (size->argument >= 0 && type == ARG_OUT)
            count = (most = (size_t)result * size->bytes) < count ? most : count;
        if (size->argument == -2) {
            socklen_t length = (socklen_t)pick(bytes[i] + 20);
            uint64_t at = original[size->bytes];
            memcpy((void *)a[size->bytes], &length, sizeof length);
            memcpy(&expected[size->bytes][at - (uint64_t)program[size->bytes]], &length, sizeof length);
            count = length < count ? length : count;
        } else if (type == ARG_INOUT && bytes[i] == sizeof(socklen_t)) {
            continue; /* a length, which goes with the buffer */
        }
        for (size_t j = 0; j < count; j++) {
            uint8_t byte = (uint8_t)random();
            ((uint8_t *)a[i])[j] = byte;
            if (number != SYS_poll || j % sizeof(struct pollfd) >= offsetof(struct pollfd, revents))
                expected[i][original[i] - (uint64_t)program[i] + j] = byte;
        }
    }
    return result;
}

static uint8_t memory[BUFFERS_MEMORY_BYTES] __attribute__((aligned(PAGE_BYTES)));

static void call_make(uint64_t number)
{
    const struct call_row *row = &call_table[number];
    uint64_t a[6], there[6];
    size_t bytes[6], sum = 0;
    struct wire_buffers buffers, written;
    uint8_t contents[WIRE_BUFFERS_BYTES], back[WIRE_BUFFERS_BYTES];
    arguments_make(row, a, bytes);
    if (number == SYS_getsockopt)
        a[1] = SOL_SOCKET;
    if (number == SYS_nanosleep || number == SYS_clock_nanosleep || number == SYS_epoll_pwait) {
        unsigned without = number == SYS_nanosleep ? 1 : number == SYS_clock_nanosleep ? 3 : 4;
        a[without] = bytes[without] = 0;
    }
    for (unsigned i = 0; i < 6; i++)
        sum += bytes[i];
    long used = buffers_gather(number, a, &buffers, contents);
    if (sum == 0 || length_missing(row, a) || (number == SYS_getsockopt && a[2] == SO_GET_FILTER)) {
        ck_assert_int_eq(used, -1);
        return;
    }
    ck_assert_msg(used >= 0, "%s stays", row->name);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_msg(buffers.bytes[i] == bytes[i], "%s: argument %u has %u bytes, not %zu", row->name, i,
                      buffers.bytes[i], bytes[i]);
    memcpy(there, a, sizeof there);
    ck_assert(buffers_open(number, &buffers, contents, (size_t)used, there, memory));
    long result = kernel(number, there, a, bytes);
    size_t size = buffers_close(number, &buffers, there, result, &written, back);
    ck_assert(size <= sizeof back && (result >= 0 || number == SYS_poll || size <= 8));
    ck_assert(buffers_scatter(number, a, &written, back, size));
    ck_assert_msg(memcmp(program, expected, sizeof program) == 0, "%s: not what the kernel wrote", row->name);
}

static void seed(void)
{
    const char *given = getenv("BUFFERS_SEED");
    unsigned value = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
    fprintf(stderr, "BUFFERS_SEED=%u\n", value);
    srandom(value);
    missing = ~0ul;
}

START_TEST(random_calls)
{
    seed();
    for (unsigned round = 0; round < 200; round++)
        for (uint64_t number = 0; number < CALL_COUNT; number++)
            if (buffers_calls[number])
                call_make(number);
}
END_TEST

/* Nothing but what the two sides know how to carry. */
START_TEST(rows_of_the_list)
{
    for (unsigned number = 0; number < CALL_COUNT; number++) {
        const struct call_row *row = &call_table[number];
        bool any = false;
        if (!buffers_calls[number])
            continue;
        ck_assert_msg(row->place == CALL_HOME || row->place == CALL_EMULATED, "%s", row->name);
        for (unsigned i = 0; i < row->count; i++) {
            uint8_t type = row->arguments[i];
            bool points =
                type == ARG_IN || is_written(type) || type == ARG_PATH || type == ARG_STRING || is_vector(type);
            any |= points;
            ck_assert_msg(points || type < ARG_ADDRESS, "%s: argument %u", row->name, i);
        }
        ck_assert_msg(any, "%s points to nothing", row->name);
    }
}
END_TEST

START_TEST(what_stays)
{
    struct wire_buffers buffers;
    uint8_t contents[WIRE_BUFFERS_BYTES];
    seed();
    const uint64_t at = (uint64_t)program[1], much[6] = {1, at, WIRE_BUFFERS_BYTES + 1},
                   most[6] = {1, at, WIRE_BUFFERS_BYTES}, none[6] = {1, at, 0}, nothing[6] = {1, 0, 8},
                   later[6] = {1, at, 8, MSG_ZEROCOPY}, left[6] = {at, at}, vectors[6] = {1, (uint64_t)parts, 17};
    ck_assert_int_eq(buffers_gather(SYS_write, much, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_read, much, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_write, most, &buffers, contents), WIRE_BUFFERS_BYTES);
    ck_assert_int_eq(buffers_gather(SYS_read, most, &buffers, contents), 0);
    ck_assert_int_eq(buffers_gather(SYS_write, none, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_write, nothing, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_sendto, later, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_nanosleep, left, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_writev, vectors, &buffers, contents), -1);
    const uint64_t many[6] = {3, at, 10000, 5}, negative[6] = {3, at, ~0ul, 5};
    uint64_t there[6];
    ck_assert_int_eq(buffers_gather(SYS_epoll_wait, many, &buffers, contents), 0);
    memcpy(there, many, sizeof there);
    ck_assert(buffers_open(SYS_epoll_wait, &buffers, contents, 0, there, memory));
    ck_assert_int_eq(there[2], WIRE_BUFFERS_BYTES / 12); /* fewer at a time */
    ck_assert_int_eq(buffers_gather(SYS_epoll_wait, negative, &buffers, contents), -1);
    missing = at;
    ck_assert_int_eq(buffers_gather(SYS_write, most, &buffers, contents), -1);
    ck_assert_int_eq(buffers_gather(SYS_read, most, &buffers, contents), -1);
    missing = (at & ~(uint64_t)(PAGE_BYTES - 1)) + PAGE_BYTES; /* a page in the middle */
    ck_assert_int_eq(buffers_gather(SYS_read, most, &buffers, contents), -1);
}
END_TEST

/* Whatever comes: no buffer outside of the memory that there is for them, and none that ends behind it. */
START_TEST(damaged_messages)
{
    seed();
    for (unsigned round = 0; round < 300000; round++) {
        uint64_t number = pick(CALL_COUNT), a[6];
        const struct call_row *row = &call_table[number];
        struct wire_buffers buffers = {0};
        uint8_t contents[WIRE_BUFFERS_BYTES];
        size_t bytes = pick(sizeof contents);
        for (unsigned i = 0; i < 6; i++) {
            a[i] = pick(2) ? pick(12000) : (uint64_t)random() << 20;
            buffers.bytes[i] = (uint16_t)(pick(3) ? 0 : pick(2) ? pick(65536) : a[pick(6)]);
        }
        for (unsigned i = 0; i < 64; i++)
            contents[pick(sizeof contents)] = (uint8_t)pick(3);
        if (!buffers_open(number, &buffers, contents, bytes, a, memory))
            continue;
        ck_assert(buffers_calls[number]);
        for (unsigned i = 0; i < row->count; i++)
            if (buffers.bytes[i] != 0)
                ck_assert(a[i] >= (uint64_t)memory &&
                          a[i] + (is_vector(row->arguments[i]) ? sizeof(struct iovec) : buffers.bytes[i]) <=
                              (uint64_t)memory + sizeof memory);
        struct wire_buffers written;
        uint8_t back[WIRE_BUFFERS_BYTES];
        ck_assert(buffers_close(number, &buffers, a, (long)pick(100000), &written, back) <= sizeof back);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buffers");
    TCase *tests = tcase_create("buffers");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, rows_of_the_list);
    tcase_add_test(tests, random_calls);
    tcase_add_test(tests, what_stays);
    tcase_add_test(tests, damaged_messages);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
