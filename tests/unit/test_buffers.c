/*
 * Buffers that go along with calls: every call of the list with random arguments, a kernel that writes what it may
 * write, and messages that are damaged on the way. Not for the exchange itself: tests/programs/call_buffers.c.
 */
/* links: monitor/buffers.c monitor/buffers_home.c monitor/buffers_quick.c syscall/table.c */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "monitor/buffers_private.h"
#include "monitor/user.h"
#include "syscall/entry.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

#define ARGUMENT_BYTES (3 * PAGE_BYTES) /* of the program's memory for each argument */

/* The program's memory has to be where programs are. */
static uint8_t (*program)[ARGUMENT_BYTES];
static uint8_t expected[6][ARGUMENT_BYTES];
static struct iovec *parts, parts_before[8]; /* of a call's vector */
static uint64_t missing;                     /* an address that faults */
static bool gone;                            /* what this node cannot write to, from now on */

/* ---- in place of the assembly --------------------------------------------------------------------------------------
 */

size_t user_copy(void *to, const void *from, size_t size)
{
    if ((uint64_t)to == missing || (uint64_t)from == missing || from == NULL || (gone && size != 0))
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

/* Parts of [at, ..) with gaps in between: their bytes. */
static size_t vector_make(uint8_t *at, size_t count)
{
    size_t sum = 0;
    memset(parts, 0, sizeof parts_before);
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
    const struct iovec *part = parts_before;
    while (offset >= part->iov_len)
        offset -= part++->iov_len;
    return (uint8_t *)part->iov_base + offset;
}

/* Vectors of nothing stay where they are. */
static bool vector_empty(uint64_t number, const uint64_t *a, const size_t bytes[6])
{
    for (unsigned i = 0; i < 6; i++)
        if (buffer_is_vector(buffer_form(number, i, a).type) && bytes[i] == 0)
            return true;
    return false;
}

/* What decides what other arguments are. */
static void deciding_make(uint64_t number, uint64_t a[BUFFERS_ARGUMENTS])
{
    static const int operations[] = {FUTEX_WAIT,     FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
                                     FUTEX_LOCK_PI,  FUTEX_WAIT | FUTEX_CLOCK_REALTIME,
                                     FUTEX_LOCK_PI2, FUTEX_WAIT_REQUEUE_PI},
                     commands[] = {F_SETLK, F_SETLKW, F_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK};
    if (number == SYS_futex)
        a[1] = (uint64_t)operations[pick(6)];
    else if (number == SYS_fcntl)
        a[1] = (uint64_t)commands[pick(6)];
    else if (number == SYS_getsockopt)
        a[1] = SOL_SOCKET, a[2] = SO_ERROR;
    else if (number == SYS_sendto || number == SYS_recvfrom)
        a[3] = MSG_DONTWAIT;
    else if (number == SYS_sendmsg || number == SYS_recvmsg)
        a[2] = MSG_DONTWAIT;
}

static uint64_t word_random(void)
{
    static uint64_t word = 88172645463325252u;
    word ^= word << 13;
    word ^= word >> 7;
    return word ^= word << 17;
}

/* Arguments of a call, pointers into the program's memory; how many bytes the buffer of each has. */
static void arguments_make(uint64_t number, uint64_t a[BUFFERS_ARGUMENTS], size_t bytes[6])
{
    memset(bytes, 0, 6 * sizeof *bytes);
    for (unsigned i = 0; i < BUFFERS_ARGUMENTS; i++)
        a[i] = pick(2000);
    deciding_make(number, a);
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, a);
        uint8_t *at = &program[i][pick(PAGE_BYTES)];
        if (form.type == ARG_NONE)
            continue;
        for (size_t j = 0; j < ARGUMENT_BYTES; j += sizeof(uint64_t))
            memcpy(&program[i][j], &(uint64_t){word_random()}, sizeof(uint64_t));
        switch (form.type) {
        case ARG_PATH:
        case ARG_STRING:
            bytes[i] = 1 + pick(400);
            memset(at, 'p', bytes[i] - 1);
            at[bytes[i] - 1] = 0;
            break;
        case ARG_IN:
        case ARG_OUT:
        case ARG_INOUT:
            if (form.size.argument >= 0)
                a[(unsigned)form.size.argument] = pick(1500 / form.size.bytes);
            break;
        case ARG_IOVEC_IN:
        case ARG_IOVEC_OUT:
            a[(unsigned)form.size.argument] = pick(sizeof parts_before / sizeof parts_before[0] + 1);
            bytes[i] = vector_make(at, a[(unsigned)form.size.argument]);
            memcpy(parts_before, parts, sizeof parts_before);
            a[i] = (uint64_t)parts;
            continue;
        default:
            continue;
        }
        a[i] = pick(10) ? (uint64_t)at : 0;
    }
    for (unsigned i = 0; i < 6; i++) { /* now that counts are known */
        const struct buffer_form form = buffer_form(number, i, a);
        if ((form.type != ARG_IN && form.type != ARG_OUT && form.type != ARG_INOUT) || a[i] == 0)
            continue;
        bytes[i] = form.size.argument >= 0 ? a[(unsigned)form.size.argument] * form.size.bytes : form.size.bytes;
        if (form.size.argument == -2 && a[form.size.bytes] != 0) {
            socklen_t length = (socklen_t)pick(200);
            bytes[i] = length;
            memcpy((void *)a[form.size.bytes], &length, sizeof length);
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, a);
        if (form.size.argument == -2 && a[i] == 0)
            bytes[form.size.bytes] = 0; /* the length of nothing */
    }
    for (unsigned i = 0; i < 6; i++)
        if (a[i] == 0)
            bytes[i] = 0;
    if (number != SYS_sendmsg && number != SYS_recvmsg)
        return;
    if (a[1] == 0) { /* no message, and nothing that it points to */
        memset(bytes, 0, 6 * sizeof *bytes);
        memset(a + 6, 0, 3 * sizeof *a);
    } else {
        *(struct msghdr *)a[1] = (struct msghdr){.msg_name = (void *)a[3],
                                                 .msg_namelen = (socklen_t)a[6],
                                                 .msg_iov = (struct iovec *)a[4],
                                                 .msg_iovlen = a[7],
                                                 .msg_control = (void *)a[5],
                                                 .msg_controllen = a[8],
                                                 .msg_flags = 77};
    }
}

/* Does a length that is not there stand for a buffer that is? */
static bool length_missing(const struct call_row *row, const uint64_t a[6])
{
    for (unsigned i = 0; i < row->count; i++)
        if (row->sizes[i].argument == -2 && a[i] != 0 && a[row->sizes[i].bytes] == 0)
            return true;
    return false;
}

/* The message points to where the pieces are now; all else is the program's. */
static void message_check(const struct msghdr *message, const struct msghdr *original, const uint64_t *a)
{
    ck_assert(message->msg_name == (void *)a[3] && message->msg_iov == (void *)a[4] &&
              message->msg_control == (void *)a[5]);
    ck_assert(message->msg_namelen == original->msg_namelen && message->msg_iovlen == original->msg_iovlen &&
              message->msg_controllen == original->msg_controllen && message->msg_flags == 77);
}

/* What a call finds at its arguments: what the program has there, as far from the beginnings of pages. */
static void arguments_check(uint64_t number, const uint64_t *a, const uint64_t *original, const size_t bytes[6])
{
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, original);
        if (bytes[i] == 0) {
            ck_assert(a[i] == original[i]);
            continue;
        }
        ck_assert_msg(a[i] != original[i], "%s: argument %u stays where it was", call_table[number].name, i);
        if (!buffer_is_vector(form.type)) {
            ck_assert_int_eq(a[i] % PAGE_BYTES, original[i] % PAGE_BYTES);
            if (form.written == WRITTEN_MESSAGE)
                message_check((struct msghdr *)a[i], (struct msghdr *)original[i], a);
            else if (form.type != ARG_OUT)
                ck_assert_mem_eq((void *)a[i], (void *)original[i], bytes[i]);
            continue;
        }
        const struct iovec *there = (const struct iovec *)a[i];
        ck_assert_int_eq(a[i] % sizeof(uint64_t), 0);
        for (size_t j = 0; j < a[(unsigned)form.size.argument]; j++) {
            ck_assert(there[j].iov_len == parts[j].iov_len);
            ck_assert((uint64_t)there[j].iov_base % PAGE_BYTES == (uint64_t)parts[j].iov_base % PAGE_BYTES);
            ck_assert((there[j].iov_base == parts[j].iov_base) == (there[j].iov_len == 0));
            if (form.type == ARG_IOVEC_IN)
                ck_assert_mem_eq(there[j].iov_base, parts[j].iov_base, parts[j].iov_len);
        }
    }
}

/* A byte of the kernel's at `offset` of a vector. */
static void vector_write(const struct iovec *part, size_t offset, uint8_t byte)
{
    while (offset >= part->iov_len)
        offset -= part++->iov_len;
    ((uint8_t *)part->iov_base)[offset] = byte;
}

/* Is byte `j` of what it is given one of those that poll writes? */
static bool is_event(size_t j)
{
    return j % sizeof(struct pollfd) >= offsetof(struct pollfd, revents);
}

/* Does the kernel write to the buffer when this is the result? */
static bool is_written_then(const struct buffer_form *form, long result)
{
    return buffer_is_written(form->type) &&
           (result >= 0 || form->written == WRITTEN_ALWAYS || form->written == WRITTEN_EVENTS) &&
           (result != 0 || form->written != WRITTEN_POSITIVE);
}

/* What the kernel writes of a message that it has received into; `there` is what the program is to find. */
static void message_write(struct msghdr *message, uint8_t *there, const uint64_t *a)
{
    message->msg_flags = (int)pick(5000);
    message->msg_controllen = a[5] != 0 ? pick(a[8] + 1) : 0;
    memcpy(there + offsetof(struct msghdr, msg_flags), &message->msg_flags, sizeof message->msg_flags);
    memcpy(there + offsetof(struct msghdr, msg_controllen), &message->msg_controllen, sizeof message->msg_controllen);
    if (a[3] == 0)
        return;
    message->msg_namelen = (socklen_t)pick(a[6] + 30);
    memcpy(there + offsetof(struct msghdr, msg_namelen), &message->msg_namelen, sizeof message->msg_namelen);
}

/* The kernel: reads what is to be read, writes into what may be written, and says how much. */
static long kernel(uint64_t number, const uint64_t *a, const uint64_t *original, const size_t bytes[6])
{
    long result = pick(3) ? (long)pick(2) : -EINTR;
    arguments_check(number, a, original, bytes);
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, a);
        if (form.written == WRITTEN_COUNTED && result > 0 && bytes[i] != 0 && form.size.argument >= 0 &&
            buffer_is_written(form.type))
            result = (long)pick(bytes[i] / (buffer_is_vector(form.type) ? 1 : form.size.bytes) + 1);
    }
    memcpy(expected, program, sizeof expected);
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, a);
        size_t count = bytes[i];
        if (count == 0 || !is_written_then(&form, result))
            continue;
        for (long j = 0; buffer_is_vector(form.type) && j < result; j++) {
            uint8_t byte = (uint8_t)random();
            vector_write((const struct iovec *)a[i], (size_t)j, byte);
            expected[i][vector_at((size_t)j) - program[i]] = byte;
        }
        if (buffer_is_vector(form.type))
            continue;
        if (form.written == WRITTEN_MESSAGE) {
            message_write((struct msghdr *)a[1], &expected[1][original[1] - (uint64_t)program[1]], a);
            continue;
        }
        if (form.written == WRITTEN_NAME) {
            const struct msghdr *message = (const struct msghdr *)a[1];
            count = message->msg_namelen < count ? message->msg_namelen : count;
        }
        if (form.size.argument >= 0 && form.written == WRITTEN_COUNTED)
            count = (size_t)result * form.size.bytes;
        if (form.size.argument == -2) {
            socklen_t length = (socklen_t)pick(bytes[i] + 20);
            uint64_t at = original[form.size.bytes];
            memcpy((void *)a[form.size.bytes], &length, sizeof length);
            memcpy(&expected[form.size.bytes][at - (uint64_t)program[form.size.bytes]], &length, sizeof length);
            count = length < count ? length : count;
        } else if (form.type == ARG_INOUT && bytes[i] == sizeof(socklen_t)) {
            continue; /* a length, which goes with the buffer */
        }
        bool events = (number == SYS_poll || number == SYS_ppoll) && i == 0;
        for (size_t j = 0; j < count; j++) {
            uint8_t byte = (uint8_t)random();
            ((uint8_t *)a[i])[j] = byte;
            if (!events || is_event(j))
                expected[i][original[i] - (uint64_t)program[i] + j] = byte;
        }
    }
    return result;
}

/* Another node that can write what this one cannot. */
static bool store(void *context, uint64_t address, const uint8_t *contents, size_t bytes)
{
    ++*(unsigned *)context;
    memcpy((void *)address, contents, bytes);
    return true;
}

static uint8_t memory[BUFFERS_MEMORY_BYTES] __attribute__((aligned(PAGE_BYTES)));

static bool is_listed(uint64_t number)
{
    const uint64_t limit[6] = {0, FUTEX_WAIT, 0, 1}, lock[6] = {0, F_SETLK, 1};
    return buffers_may_go(number, number == SYS_fcntl ? lock : limit);
}

/* The argument that has to be NULL. */
static unsigned without_of(uint64_t number)
{
    switch (number) {
    case SYS_nanosleep:
        return 1;
    case SYS_clock_nanosleep:
    case SYS_ppoll:
        return 3;
    case SYS_epoll_pwait:
        return 4;
    case SYS_pselect6:
        return 5;
    default:
        return 6;
    }
}

static void call_make(uint64_t number)
{
    const struct call_row *row = &call_table[number];
    struct buffers call = {.number = number};
    uint64_t *a = call.arguments, there[BUFFERS_ARGUMENTS] = {0};
    size_t bytes[6], sum = 0;
    struct wire_buffers written;
    uint8_t contents[WIRE_BUFFERS_BYTES] __attribute__((aligned(8))), back[WIRE_BUFFERS_BYTES];
    unsigned stored = 0;
    arguments_make(number, a, bytes);
    if (without_of(number) < 6)
        a[without_of(number)] = bytes[without_of(number)] = 0;
    for (unsigned i = 0; i < 6; i++)
        sum += bytes[i];
    long used = buffers_gather(&call, contents);
    if (sum == 0 || length_missing(row, a) || vector_empty(number, a, bytes)) {
        ck_assert_int_eq(used, -1);
        return;
    }
    ck_assert_msg(used >= 0, "%s stays", row->name);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_msg(call.sizes.bytes[i] == bytes[i], "%s: argument %u has %u bytes, not %zu", row->name, i,
                      call.sizes.bytes[i], bytes[i]);
    memcpy(there, a, 6 * sizeof there[0]);
    memset(memory, 0x5a, sizeof memory);
    ck_assert(buffers_open(number, &call.sizes, contents, (size_t)used, there, memory));
    long result = kernel(number, there, a, bytes);
    memset(parts, 0x5a, sizeof parts_before); /* the kernel has read it, and does so no more */
    size_t size = buffers_close(number, &call.sizes, there, result, &written, back);
    ck_assert(size <= sizeof back);
    gone = pick(2);
    ck_assert(buffers_scatter(&call, &written, back, size, store, &stored));
    ck_assert(gone ? (stored != 0) == (size != 0) : stored == 0);
    gone = false;
    ck_assert_msg(memcmp(program, expected, sizeof expected) == 0, "%s: not what the kernel wrote", row->name);
}

static void seed(void)
{
    const char *given = getenv("BUFFERS_SEED");
    unsigned value = given ? (unsigned)atoi(given) : (unsigned)time(NULL);
    fprintf(stderr, "BUFFERS_SEED=%u\n", value);
    srandom(value);
    missing = ~0ul;
    program = mmap((void *)(SPAN_ZONE_START << 8), sizeof expected + PAGE_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert(program != MAP_FAILED);
    parts = (struct iovec *)(program + 6);
}

START_TEST(random_calls)
{
    seed();
    for (unsigned round = 0; round < 200; round++)
        for (uint64_t number = 0; number < CALL_COUNT; number++)
            if (is_listed(number))
                call_make(number);
}
END_TEST

/* Nothing but what the two sides know how to carry: also what is not on the list has no call that points on. */
START_TEST(rows_of_the_list)
{
    unsigned listed = 0;
    for (unsigned number = 0; number < CALL_COUNT; number++) {
        const struct call_row *row = &call_table[number];
        unsigned vectors = 0;
        bool any = false;
        if (!is_listed(number))
            continue;
        listed++;
        ck_assert_msg(row->place == CALL_HOME || row->place == CALL_EMULATED, "%s", row->name);
        uint64_t a[BUFFERS_ARGUMENTS] = {1, 1, 1, 1, 1, 1};
        deciding_make(number, a);
        for (unsigned i = 0; i < 6; i++) {
            uint8_t type = buffer_form(number, i, a).type;
            bool points = buffer_is_read(type) || buffer_is_written(type);
            any |= points;
            vectors += buffer_is_vector(type);
            ck_assert_msg(points || type < ARG_ADDRESS || type == ARG_FUTEX, "%s: argument %u", row->name, i);
        }
        ck_assert_msg(any && vectors <= 1, "%s points to nothing, or too much", row->name);
    }
    ck_assert(listed > 70);
}
END_TEST

/* The bytes of contents of a call, or -1. */
static long gathered(uint64_t number, const uint64_t arguments[6])
{
    struct buffers call = {.number = number};
    uint8_t contents[WIRE_BUFFERS_BYTES] __attribute__((aligned(8)));
    memcpy(call.arguments, arguments, 6 * sizeof arguments[0]);
    return buffers_gather(&call, contents);
}

START_TEST(what_stays)
{
    seed();
    const uint64_t at = (uint64_t)program[1], vector = (uint64_t)parts;
    const size_t most = WIRE_BUFFERS_BYTES;
    const struct {
        uint64_t number, arguments[6];
        long bytes;
    } calls[] = {
        {SYS_write, {1, at, most}, (long)most},
        {SYS_write, {1, at, most + 1}, -1},
        {SYS_read, {1, at, most}, 0},
        {SYS_read, {1, at, most + 1}, -1},
        {SYS_read, {1, at, ~0ul}, -1},
        {SYS_write, {1, at, 0}, -1},
        {SYS_write, {1, 0, 8}, -1},
        {SYS_write, {1, SPAN_ZONE_END, 8}, -1},
        {SYS_read, {1, SPAN_ZONE_END - 4, 8}, -1},
        {SYS_read, {1, (uint64_t)&at, 8}, -1}, /* ours */
        {SYS_sendto, {1, at, 8, MSG_ZEROCOPY}, -1},
        {SYS_recvfrom, {1, at, 8, MSG_DONTWAIT}, 0},
        {SYS_recvfrom, {1, at, 8, MSG_TRUNC}, -1},
        {SYS_recvfrom, {1, at, 8, MSG_ERRQUEUE}, -1},
        {SYS_nanosleep, {at, at}, -1},
        {SYS_nanosleep, {at, 0}, 16},
        {SYS_clock_nanosleep, {0, 0, at, at}, -1},
        {SYS_writev, {1, vector, BUFFERS_PARTS_MAX + 1}, -1},
        {SYS_writev, {1, vector, 2}, -1}, /* of nothing */
        {SYS_epoll_wait, {3, at, most / 12, 5}, 0},
        {SYS_epoll_wait, {3, at, most / 12 + 1, 5}, -1},
        {SYS_epoll_wait, {3, at, ~0ul, 5}, -1},
        {SYS_epoll_pwait, {3, at, 4, 5, at, 8}, -1},
        {SYS_getsockopt, {3, SOL_SOCKET, SO_GET_FILTER, at, at}, -1},
        {SYS_futex, {at, FUTEX_WAIT, 0, at}, 16},
        {SYS_futex, {at, FUTEX_WAIT, 0, 0}, -1},
        {SYS_futex, {at, FUTEX_REQUEUE, 1, at, at}, -1}, /* a number */
        {SYS_futex, {at, FUTEX_WAKE_OP, 1, at, at}, -1},
        {SYS_fcntl, {1, F_SETLK, at}, 32},
        {SYS_fcntl, {1, F_SETFL, at}, -1},
        {SYS_fcntl, {1, F_SETOWN_EX, at}, -1},
        {SYS_select, {0, at, at, at, at}, 16},
        {SYS_select, {65, at, 0, at, 0}, 32},
        {SYS_select, {0xffffffff, at, 0, 0, 0}, -1},
        {SYS_pselect6, {3, at, 0, 0, 0, at}, -1},
        {SYS_ppoll, {at, 1, 0, at, 8}, -1},
        {SYS_waitid, {0, 0, at, 0, 0}, -1},
        {SYS_getpid, {at, at}, -1},
        {CALL_COUNT, {at, at}, -1},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        ck_assert_msg(gathered(calls[i].number, calls[i].arguments) == calls[i].bytes, "%zu", i);
    missing = at;
    ck_assert_int_eq(gathered(SYS_write, calls[0].arguments), -1);
    ck_assert_int_eq(gathered(SYS_read, calls[2].arguments), -1);
    missing = (at & ~(uint64_t)(PAGE_BYTES - 1)) + PAGE_BYTES; /* a page in the middle */
    ck_assert_int_eq(gathered(SYS_read, calls[2].arguments), -1);
}
END_TEST

static bool is_in_memory(uint64_t at, size_t bytes)
{
    return at >= (uint64_t)memory && at + bytes <= (uint64_t)memory + sizeof memory;
}

/* What came was damaged; where it is taken nevertheless, all of it is in the memory that there is for it. */
static void opened_check(uint64_t number, const struct wire_buffers *sizes, const uint64_t *a)
{
    struct wire_buffers written;
    uint8_t back[WIRE_BUFFERS_BYTES];
    ck_assert(buffers_may_go(number, a));
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, a);
        bool vector = buffer_is_vector(form.type);
        const struct iovec *there = (const struct iovec *)a[i];
        uint64_t count = vector ? a[(unsigned)form.size.argument] : 0;
        if (sizes->bytes[i] == 0)
            continue;
        ck_assert(is_in_memory(a[i], vector ? count * sizeof *there : sizes->bytes[i]));
        for (size_t j = 0; j < count; j++)
            ck_assert(there[j].iov_len == 0 || is_in_memory((uint64_t)there[j].iov_base, there[j].iov_len));
    }
    ck_assert(buffers_close(number, sizes, a, (long)pick(100000), &written, back) <= sizeof back);
}

START_TEST(damaged_messages)
{
    seed();
    unsigned taken = 0;
    for (unsigned round = 0; round < 300000; round++) {
        uint64_t number = pick(CALL_COUNT), a[BUFFERS_ARGUMENTS] = {0};
        struct wire_buffers sizes = {0};
        uint8_t contents[WIRE_BUFFERS_BYTES] __attribute__((aligned(8)));
        size_t bytes = pick(sizeof contents);
        for (unsigned i = 0; i < 6; i++) {
            a[i] = pick(2) ? pick(12000) : (uint64_t)random() << 20;
            sizes.bytes[i] = (uint16_t)(pick(3) ? 0 : pick(2) ? pick(65536) : a[pick(6)]);
        }
        for (unsigned i = 0; i < 64; i++)
            contents[pick(sizeof contents)] = (uint8_t)pick(3);
        if (!buffers_open(number, &sizes, contents, bytes, a, memory))
            continue;
        taken++;
        opened_check(number, &sizes, a);
    }
    ck_assert(taken > 100);
}
END_TEST

/* A true message of a vector of the most parts and bytes, and the same with one word changed. */
START_TEST(damaged_vectors)
{
    seed();
    static const uint64_t numbers[] = {SYS_readv, SYS_writev, SYS_preadv, SYS_pwritev};
    unsigned taken = 0;
    for (unsigned round = 0; round < 100000; round++) {
        struct iovec vector[BUFFERS_PARTS_MAX];
        uint64_t number = numbers[pick(4)], a[BUFFERS_ARGUMENTS] = {1, 1, BUFFERS_PARTS_MAX};
        struct wire_buffers sizes = {0};
        uint8_t contents[WIRE_BUFFERS_BYTES] __attribute__((aligned(8))) = {0};
        for (unsigned i = 0; i < BUFFERS_PARTS_MAX; i++) {
            vector[i] = (struct iovec){(void *)pick(1ul << 40), pick(1000)};
            sizes.bytes[1] = (uint16_t)(sizes.bytes[1] + vector[i].iov_len);
        }
        memcpy(contents, vector, sizeof vector);
        if (pick(2))
            ((uint64_t *)contents)[pick(2 * BUFFERS_PARTS_MAX)] ^= 1ul << pick(64);
        if (!pick(4))
            a[2] += pick(5) - 2;
        if (!pick(4))
            sizes.bytes[1] = (uint16_t)(sizes.bytes[1] + pick(9) - 4);
        if (!buffers_open(number, &sizes, contents, sizeof contents, a, memory))
            continue;
        taken++;
        opened_check(number, &sizes, a);
    }
    ck_assert(taken > 1000);
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
    tcase_add_test(tests, damaged_vectors);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
