/*
 * See the header. The system call table says what each argument points to. How much of that the kernel has written
 * follows from the result: as many bytes or items as it says where an argument counts them, else all of it; when the
 * call failed nothing, but for what it also reads (the lengths of getsockopt, the events of poll). The calls below are
 * those for which this is true.
 */
#include "monitor/buffers.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "monitor/user.h"
#include "syscall/entry.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

#define PATH_BYTES   512u
#define VECTOR_PARTS 16u
#define EVENTS_MAX   (WIRE_BUFFERS_BYTES / sizeof(struct epoll_event))

const bool buffers_calls[CALL_COUNT] = {
    [SYS_read] = true,
    [SYS_pread64] = true,
    [SYS_write] = true,
    [SYS_pwrite64] = true,
    [SYS_readv] = true,
    [SYS_preadv] = true,
    [SYS_writev] = true,
    [SYS_pwritev] = true,
    [SYS_getrandom] = true,
    /* sockets, pipes */
    [SYS_sendto] = true,
    [SYS_recvfrom] = true,
    [SYS_connect] = true,
    [SYS_bind] = true,
    [SYS_accept] = true,
    [SYS_accept4] = true,
    [SYS_getsockname] = true,
    [SYS_getpeername] = true,
    [SYS_setsockopt] = true,
    [SYS_getsockopt] = true,
    [SYS_socketpair] = true,
    [SYS_pipe] = true,
    [SYS_pipe2] = true,
    /* waiting */
    [SYS_poll] = true,
    [SYS_epoll_wait] = true,
    [SYS_epoll_pwait] = true,
    [SYS_epoll_ctl] = true,
    [SYS_nanosleep] = true,
    [SYS_clock_nanosleep] = true,
    [SYS_timerfd_settime] = true,
    [SYS_timerfd_gettime] = true,
    /* names */
    [SYS_open] = true,
    [SYS_openat] = true,
    [SYS_stat] = true,
    [SYS_lstat] = true,
    [SYS_fstat] = true,
    [SYS_newfstatat] = true,
    [SYS_statx] = true,
    [SYS_statfs] = true,
    [SYS_fstatfs] = true,
    [SYS_access] = true,
    [SYS_faccessat] = true,
    [SYS_faccessat2] = true,
    [SYS_readlink] = true,
    [SYS_readlinkat] = true,
    [SYS_getcwd] = true,
    [SYS_chdir] = true,
    [SYS_mkdir] = true,
    [SYS_mkdirat] = true,
    [SYS_rmdir] = true,
    [SYS_unlink] = true,
    [SYS_unlinkat] = true,
    [SYS_rename] = true,
    [SYS_renameat] = true,
    [SYS_renameat2] = true,
    [SYS_link] = true,
    [SYS_linkat] = true,
    [SYS_symlink] = true,
    [SYS_symlinkat] = true,
    [SYS_chmod] = true,
    [SYS_fchmodat] = true,
    [SYS_truncate] = true,
    [SYS_utimensat] = true,
    [SYS_memfd_create] = true,
    [SYS_inotify_add_watch] = true,
    /* what the kernel tells */
    [SYS_uname] = true,
    [SYS_sysinfo] = true,
    [SYS_times] = true,
    [SYS_getrusage] = true,
    [SYS_getrlimit] = true,
    [SYS_prlimit64] = true,
    [SYS_getitimer] = true,
    [SYS_clock_getres] = true,
};

static bool is_read(uint8_t type)
{
    return type == ARG_IN || type == ARG_INOUT || type == ARG_PATH || type == ARG_STRING || type == ARG_IOVEC_IN;
}

static bool is_written(uint8_t type)
{
    return type == ARG_OUT || type == ARG_INOUT || type == ARG_IOVEC_OUT;
}

static bool is_vector(uint8_t type)
{
    return type == ARG_IOVEC_IN || type == ARG_IOVEC_OUT;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

/* A place for the next buffer: where it begins, or -1 when there is no room. */
static long place_take(size_t *used, size_t bytes)
{
    size_t start = *used;
    if (bytes > WIRE_BUFFERS_BYTES || aligned(bytes) > WIRE_BUFFERS_BYTES - start)
        return -1;
    *used += aligned(bytes);
    return (long)start;
}

/* Bytes of what argument i points to, strings apart; -1 when it is more than can go along, or cannot be told. */
static long extent(const struct call_row *row, unsigned i, const uint64_t arguments[6])
{
    const struct call_size *size = &row->sizes[i];
    uint64_t count = 1;
    if (size->argument >= 0) {
        count = arguments[(unsigned)size->argument];
    } else if (size->argument == -2) {
        socklen_t room;
        if (user_copy(&room, (const void *)arguments[size->bytes], sizeof room))
            return -1;
        return room <= WIRE_BUFFERS_BYTES ? (long)room : -1;
    }
    return count <= WIRE_BUFFERS_BYTES / size->bytes ? (long)(count * size->bytes) : -1;
}

/* As many events as there is room for will do: what is ready stays ready. */
static bool is_capped(uint64_t number)
{
    return number == SYS_epoll_wait || number == SYS_epoll_pwait;
}

/* Options that read what they write to, or write more than their length says, stay with the program's memory. */
static bool option_is_plain(int level, int option)
{
    return (level == SOL_SOCKET && option != SO_GET_FILTER) ||
           (level == IPPROTO_TCP && option >= 0 && option <= TCP_FASTOPEN_CONNECT);
}

/* Is what is said above true for these arguments? */
static bool is_plain(uint64_t number, const uint64_t arguments[6])
{
    switch (number) {
    case SYS_sendto: /* the kernel reads it later */
        return !(arguments[3] & MSG_ZEROCOPY);
    case SYS_getsockopt:
        return option_is_plain((int)arguments[1], (int)arguments[2]);
    case SYS_nanosleep: /* what is left is written when the call fails */
        return arguments[1] == 0;
    case SYS_clock_nanosleep:
        return arguments[3] == 0;
    case SYS_epoll_pwait: /* a mask is our business as well */
        return arguments[4] == 0;
    default:
        return true;
    }
}

/* Can the thread write to all of it, and is it here? Asked of each page by changing nothing. */
static bool is_writable(uint64_t address, size_t bytes)
{
    uint64_t last = address + bytes - 1;
    if (last < address)
        return false;
    for (uint64_t at = address; at <= last; at = (at & ~(uint64_t)(PAGE_BYTES - 1)) + PAGE_BYTES) {
        uint32_t seen;
        if (user_compare_exchange((uint32_t *)(at & ~3ul), 0, 0, &seen) != 0)
            return false;
    }
    return true;
}

/* ---- vectors: their bytes go one after the other, and are one buffer at home ---- */

/* The vector of argument i: how many bytes in how many parts, or -1. */
static long vector_read(const struct call_row *row, unsigned i, const uint64_t arguments[6],
                        struct iovec parts[VECTOR_PARTS], size_t *count)
{
    *count = arguments[(unsigned)row->sizes[i].argument];
    size_t sum = 0;
    if (*count > VECTOR_PARTS || user_copy(parts, (const void *)arguments[i], *count * sizeof *parts) != 0)
        return -1;
    for (size_t j = 0; j < *count; j++) {
        if (parts[j].iov_len > WIRE_BUFFERS_BYTES - sum)
            return -1;
        sum += parts[j].iov_len;
    }
    return (long)sum;
}

/* As buffer_gather, below. */
static long vector_gather(const struct call_row *row, unsigned i, const uint64_t arguments[6], uint8_t *contents,
                          size_t *used)
{
    struct iovec parts[VECTOR_PARTS];
    size_t count, done = 0;
    long bytes = vector_read(row, i, arguments, parts, &count), place = 0;
    bool read = is_read(row->arguments[i]);
    if (bytes <= 0 || (read && (place = place_take(used, (size_t)bytes)) < 0))
        return bytes < 0 ? bytes : place;
    for (size_t j = 0; j < count; done += parts[j++].iov_len)
        if (parts[j].iov_len != 0 &&
            (read ? user_copy(contents + place + done, parts[j].iov_base, parts[j].iov_len) != 0
                  : !is_writable((uint64_t)parts[j].iov_base, parts[j].iov_len)))
            return -1;
    return bytes;
}

/* What the kernel wrote, into the parts, which are read again. */
static bool vector_scatter(const struct call_row *row, unsigned i, const uint64_t arguments[6], const uint8_t *contents,
                           size_t bytes)
{
    struct iovec parts[VECTOR_PARTS];
    size_t count;
    if (vector_read(row, i, arguments, parts, &count) < 0)
        return false;
    for (size_t j = 0; j < count && bytes > 0; j++) {
        size_t piece = parts[j].iov_len < bytes ? parts[j].iov_len : bytes;
        if (user_copy(parts[j].iov_base, contents, piece) != 0)
            return false;
        contents += piece;
        bytes -= piece;
    }
    return bytes == 0;
}

/* The one buffer of argument i: its bytes, also when it is none, or -1. */
static long buffer_gather(const struct call_row *row, unsigned i, const uint64_t arguments[6], uint8_t *contents,
                          size_t *used)
{
    uint8_t type = row->arguments[i];
    if (arguments[i] == 0 || !(is_read(type) || is_written(type)))
        return 0;
    if (is_vector(type))
        return vector_gather(row, i, arguments, contents, used);
    if (type == ARG_PATH || type == ARG_STRING) {
        size_t room = WIRE_BUFFERS_BYTES - *used;
        long length = user_string((char *)contents + *used, arguments[i], room < PATH_BYTES ? room : PATH_BYTES);
        return length < 0 || place_take(used, (size_t)length + 1) < 0 ? -1 : length + 1;
    }
    long bytes = extent(row, i, arguments);
    if (bytes <= 0)
        return bytes;
    if (is_written(type) && !is_writable(arguments[i], (size_t)bytes))
        return -1;
    if (is_read(type)) {
        long place = place_take(used, (size_t)bytes);
        if (place < 0 || user_copy(contents + place, (const void *)arguments[i], (size_t)bytes) != 0)
            return -1;
    }
    return bytes;
}

long buffers_gather(uint64_t number, const uint64_t original[6], struct wire_buffers *buffers, uint8_t *contents)
{
    const struct call_row *row = &call_table[number];
    size_t used = 0, sum = 0;
    uint64_t arguments[6];
    memcpy(arguments, original, sizeof arguments);
    memset(buffers, 0, sizeof *buffers);
    if (!is_plain(number, arguments))
        return -1;
    if (is_capped(number) && arguments[2] > EVENTS_MAX && arguments[2] <= INT_MAX / sizeof(struct epoll_event))
        arguments[2] = EVENTS_MAX;
    for (unsigned i = 0; i < row->count; i++) {
        size_t place = used;
        long bytes = buffer_gather(row, i, arguments, contents, &used);
        if (bytes < 0 || place_take(&sum, (size_t)bytes) < 0)
            return -1;
        buffers->bytes[i] = (uint16_t)bytes;
        /* Another thread may have changed a length since the buffer's size was read from it. */
        for (unsigned j = 0; j < i && bytes == sizeof(socklen_t); j++)
            if (row->sizes[j].argument == -2 && row->sizes[j].bytes == i && buffers->bytes[j] != 0) {
                socklen_t length;
                memcpy(&length, contents + place, sizeof length);
                if (length != buffers->bytes[j])
                    return -1;
            }
    }
    return sum != 0 ? (long)used : -1;
}

/* Another thread may be changing the rest of what poll was given, for the next time. */
static bool events_scatter(uint64_t address, const uint8_t *contents, size_t bytes)
{
    const size_t at = offsetof(struct pollfd, revents), size = sizeof((struct pollfd *)0)->revents;
    for (size_t i = 0; i < bytes; i += sizeof(struct pollfd))
        if (user_copy((void *)(address + i + at), contents + i + at, size) != 0)
            return false;
    return true;
}

/* The buffer of argument i. */
static bool buffer_scatter(uint64_t number, unsigned i, const uint64_t arguments[6], const uint8_t *contents,
                           size_t bytes)
{
    const struct call_row *row = &call_table[number];
    if (is_vector(row->arguments[i]))
        return vector_scatter(row, i, arguments, contents, bytes);
    if (number == SYS_poll)
        return events_scatter(arguments[i], contents, bytes);
    return user_copy((void *)arguments[i], contents, bytes) == 0;
}

bool buffers_scatter(uint64_t number, const uint64_t arguments[6], const struct wire_buffers *written,
                     const uint8_t *contents, size_t bytes)
{
    const struct call_row *row = &call_table[number];
    size_t used = 0;
    bool good = true;
    for (unsigned i = 0; i < row->count; i++) {
        size_t piece = written->bytes[i];
        if (piece == 0)
            continue;
        long place = place_take(&used, piece);
        if (place < 0 || (size_t)place + piece > bytes)
            return false;
        good &= buffer_scatter(number, i, arguments, contents + place, piece);
    }
    return good;
}

bool buffers_open(uint64_t number, const struct wire_buffers *buffers, const uint8_t *contents, size_t bytes,
                  uint64_t arguments[6], uint8_t *memory)
{
    if (number >= CALL_COUNT || !buffers_calls[number])
        return false;
    const struct call_row *row = &call_table[number];
    size_t have = 0, sum = 0, used = 0;
    for (unsigned i = 0; i < 6; i++) {
        size_t piece = buffers->bytes[i];
        uint8_t type = i < row->count ? row->arguments[i] : ARG_NONE;
        if (piece == 0)
            continue;
        if ((!is_read(type) && !is_written(type)) || place_take(&sum, piece) < 0)
            return false;
        size_t place = used + (((is_vector(type) ? 0 : arguments[i]) - used) & (PAGE_BYTES - 1));
        used = place + piece;
        if (is_vector(type)) {
            struct iovec whole = {memory + place, piece};
            used = aligned(used);
            memcpy(memory + used, &whole, sizeof whole);
            arguments[i] = (uint64_t)(memory + used);
            arguments[(unsigned)row->sizes[i].argument] = 1;
            used += sizeof whole;
        } else {
            arguments[i] = (uint64_t)(memory + place);
        }
        if (!is_read(type))
            continue;
        long from = place_take(&have, piece);
        if (from < 0 || (size_t)from + piece > bytes)
            return false;
        memcpy(memory + place, contents + from, piece);
        if ((type == ARG_PATH || type == ARG_STRING) && memory[place + piece - 1] != 0)
            return false;
    }
    for (unsigned i = 0; i < row->count; i++) { /* no count may say more than there is */
        uint8_t type = row->arguments[i];
        if (buffers->bytes[i] == 0 || type == ARG_PATH || type == ARG_STRING || is_vector(type))
            continue;
        const struct call_size *size = &row->sizes[i];
        if (size->argument == -2 && buffers->bytes[size->bytes] != sizeof(socklen_t))
            return false;
        if (is_capped(number) && arguments[2] > EVENTS_MAX)
            arguments[2] = EVENTS_MAX;
        if (extent(row, i, arguments) != buffers->bytes[i])
            return false;
    }
    return true;
}

/* What the kernel wrote of argument i, whose buffer has `bytes`. */
static size_t bytes_written(const struct call_row *row, unsigned i, size_t bytes, const uint64_t arguments[6],
                            long result)
{
    const struct call_size *size = &row->sizes[i];
    uint64_t count = bytes;
    if (size->argument == -2) {
        socklen_t length;
        memcpy(&length, (const void *)arguments[size->bytes], sizeof length);
        count = length;
    } else if (row->arguments[i] == ARG_IOVEC_OUT) {
        count = (uint64_t)result;
    } else if (size->argument >= 0 && row->arguments[i] == ARG_OUT) {
        count = (uint64_t)result * size->bytes;
    }
    return count < bytes ? count : bytes;
}

size_t buffers_close(uint64_t number, const struct wire_buffers *buffers, const uint64_t arguments[6], long result,
                     struct wire_buffers *written, uint8_t *contents)
{
    const struct call_row *row = &call_table[number];
    size_t used = 0;
    memset(written, 0, sizeof *written);
    for (unsigned i = 0; i < row->count; i++) {
        uint8_t type = row->arguments[i];
        if (buffers->bytes[i] == 0 || !is_written(type) || (result < 0 && type != ARG_INOUT))
            continue;
        size_t bytes = bytes_written(row, i, buffers->bytes[i], arguments, result);
        if (bytes == 0)
            continue;
        long place = place_take(&used, bytes); /* no more than there was room for */
        const struct iovec *vector = (const struct iovec *)arguments[i];
        memcpy(contents + place, is_vector(type) ? vector->iov_base : (const void *)vector, bytes);
        written->bytes[i] = (uint16_t)bytes;
    }
    return used;
}
