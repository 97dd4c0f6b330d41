/*
 * See the header: what arguments point to, and the peer's side. The system call table says what each argument points
 * to; how much of that the kernel writes follows from the list (monitor/buffers_quick.c) and from the result.
 *
 * What the program can see of it: the kernel reads a buffer when the call begins, not when it needs it, and its results
 * are in memory a moment after they have been taken. Both concern only programs whose threads touch a buffer of a
 * call that another of them is in.
 */
#include "monitor/buffers.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "monitor/buffers_private.h"
#include "monitor/user.h"
#include "syscall/entry.h"

#define PATH_BYTES 512u

/* The sets of select: so many bits, in words. */
static struct buffer_form set_form(uint64_t count)
{
    struct buffer_form form = {.type = ARG_INOUT, .size = {.argument = -1}};
    if (count == 0 || count > 8 * WIRE_BUFFERS_BYTES)
        form.type = ARG_OPAQUE;
    else
        form.size.bytes = (uint16_t)((count + 63) / 64 * 8);
    return form;
}

/* A message is read by the kernel whether it sends or receives; what it points to is read or written. */
static struct buffer_form message_form(unsigned i, bool sends)
{
    static const struct buffer_form sent[] = {
        [1] = {ARG_IN, WRITTEN_MESSAGE, {-1, sizeof(struct msghdr)}},
        [3] = {ARG_IN, WRITTEN_NAME, {6, 1}},
        [4] = {ARG_IOVEC_IN, WRITTEN_COUNTED, {7, sizeof(struct iovec)}},
        [5] = {ARG_IN, WRITTEN_WHOLE, {8, 1}},
    };
    struct buffer_form form = sent[i];
    if (sends || form.type == ARG_NONE)
        return form;
    /* Control data stays where it is: it may bring descriptors, and the kernel leaves out what is between its parts. */
    form.type = i == 1 ? ARG_INOUT : i == 4 ? ARG_IOVEC_OUT : i == 3 ? ARG_OUT : ARG_NONE;
    return form;
}

struct buffer_form buffer_form(uint64_t number, unsigned i, const uint64_t arguments[BUFFERS_ARGUMENTS])
{
    const struct call_row *row = &call_table[number];
    if (number == SYS_sendmsg || number == SYS_recvmsg)
        return message_form(i, number == SYS_sendmsg);
    if (i >= row->count)
        return (struct buffer_form){.type = ARG_NONE};
    struct buffer_form form = {row->arguments[i], (uint8_t)(buffers_calls[number] - 1), row->sizes[i]};
    if (number == SYS_futex && i == 3)
        return (struct buffer_form){.type = ARG_IN, .size = {-1, sizeof(struct timespec)}};
    if (number == SYS_fcntl && i == 2)
        return (struct buffer_form){.type = buffer_lock_type(arguments[1]), .size = {-1, sizeof(struct flock)}};
    if ((number == SYS_select || number == SYS_pselect6) && i >= 1 && i <= 3)
        return set_form(arguments[0]);
    if (((number == SYS_select || number == SYS_pselect6) && i == 4) || (number == SYS_ppoll && i == 2))
        form.written = WRITTEN_ALWAYS; /* what is left of the time */
    return form;
}

void message_arguments(const struct msghdr *message, uint64_t arguments[BUFFERS_ARGUMENTS])
{
    arguments[3] = (uint64_t)message->msg_name;
    arguments[4] = (uint64_t)message->msg_iov;
    arguments[5] = (uint64_t)message->msg_control;
    arguments[6] = message->msg_name ? message->msg_namelen : 0;
    arguments[7] = message->msg_iovlen;
    arguments[8] = message->msg_control ? message->msg_controllen : 0;
}

/* Options that are numbers. Others write a length when they fail, or read what they write to. */
static bool option_is_plain(int level, int option)
{
    switch (option) {
    case SO_TYPE:
    case SO_ERROR:
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_KEEPALIVE:
    case SO_REUSEADDR:
    case SO_REUSEPORT:
    case SO_ACCEPTCONN:
    case SO_PROTOCOL:
    case SO_DOMAIN:
        return level == SOL_SOCKET;
    default:
        return false;
    }
}

bool buffers_are_plain(uint64_t number, const uint64_t arguments[6])
{
    const int flags_plain =
        MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC | MSG_MORE | MSG_EOR | MSG_CONFIRM;
    switch (number) {
    case SYS_sendto:   /* with MSG_ZEROCOPY the kernel reads it later */
    case SYS_recvfrom: /* with MSG_TRUNC the result does not say what has been written */
        return !((int)arguments[3] & ~flags_plain);
    case SYS_sendmsg:
    case SYS_recvmsg:
        return !((int)arguments[2] & ~flags_plain);
    case SYS_getsockopt:
        return option_is_plain((int)arguments[1], (int)arguments[2]);
    case SYS_nanosleep: /* what is left is written when the call fails */
        return arguments[1] == 0;
    case SYS_clock_nanosleep:
        return arguments[3] == 0;
    case SYS_epoll_pwait: /* a mask is our business as well */
        return arguments[4] == 0;
    case SYS_ppoll:
        return arguments[3] == 0;
    case SYS_pselect6:
        return arguments[5] == 0;
    default:
        return true;
    }
}

/* ---- before the call ------------------------------------------------------------------------------------------------
 */

static bool is_of_the_program(uint64_t address, size_t bytes)
{
    return address >= SPAN_ZONE_START && address < SPAN_ZONE_END && bytes <= SPAN_ZONE_END - address;
}

/* A piece of the program's memory into contents: where it begins there, or -1. */
static long piece_gather(uint8_t *contents, size_t *used, const void *from, size_t bytes)
{
    long place = buffers_place(used, bytes);
    if (place < 0 || !is_of_the_program((uint64_t)from, bytes) || user_copy(contents + place, from, bytes) != 0)
        return -1;
    buffers_gap(contents, (size_t)place + bytes, *used);
    return place;
}

static bool length_read(uint64_t address, socklen_t *length)
{
    return is_of_the_program(address, sizeof *length) && user_copy(length, (const void *)address, sizeof *length) == 0;
}

/* Can the thread write to all of it, and is it here? Asked of each page by changing nothing. */
static bool is_writable(const void *from, size_t bytes)
{
    uint64_t address = (uint64_t)from;
    if (!is_of_the_program(address, bytes))
        return false;
    for (uint64_t at = address; at < address + bytes; at = (at & ~(uint64_t)(PAGE_BYTES - 1)) + PAGE_BYTES) {
        uint32_t seen;
        if (user_compare_exchange((uint32_t *)(at & ~3ul), 0, 0, &seen) != 0)
            return false;
    }
    return true;
}

/* The pieces of contents below: how many bytes the buffer of argument i has, 0 when it stays where it is, or -1. */

static long string_gather(uint64_t address, uint8_t *contents, size_t *used)
{
    size_t room = WIRE_BUFFERS_BYTES - *used;
    if (!is_of_the_program(address, 1))
        return -1;
    long length = user_string((char *)contents + *used, address, room < PATH_BYTES ? room : PATH_BYTES);
    size_t start = *used;
    if (length < 0 || buffers_place(used, (size_t)length + 1) < 0)
        return -1;
    buffers_gap(contents, start + (size_t)length + 1, *used);
    return length + 1;
}

static long vector_gather(struct buffers *call, unsigned i, uint8_t *contents, size_t *used)
{
    const struct buffer_form form = buffer_form(call->number, i, call->arguments);
    uint64_t count = call->arguments[(unsigned)form.size.argument];
    size_t sum = 0, size = count * sizeof call->parts[0];
    long place = count <= BUFFERS_PARTS_MAX ? piece_gather(contents, used, (const void *)call->arguments[i], size) : -1;
    if (place < 0)
        return -1;
    memcpy(call->parts, contents + place, size);
    for (size_t j = 0; j < count; j++) {
        const struct iovec *part = &call->parts[j];
        if (part->iov_len > WIRE_BUFFERS_BYTES - sum)
            return -1;
        sum += part->iov_len;
        if (part->iov_len == 0)
            continue;
        if (form.type == ARG_IOVEC_OUT) {
            if (!is_writable(part->iov_base, part->iov_len))
                return -1;
        } else if (piece_gather(contents, used, part->iov_base, part->iov_len) < 0) {
            return -1;
        }
    }
    return sum != 0 ? (long)sum : -1;
}

static long buffer_gather(struct buffers *call, unsigned i, uint8_t *contents, size_t *used)
{
    const struct call_row *row = &call_table[call->number];
    const struct buffer_form form = buffer_form(call->number, i, call->arguments);
    uint8_t type = form.type;
    const void *from = (const void *)call->arguments[i];
    unsigned of;
    if (!from || !(buffer_is_read(type) || buffer_is_written(type)) ||
        (buffer_is_length(row, i, &of) && call->arguments[of] == 0))
        return 0;
    if (buffer_is_vector(type))
        return vector_gather(call, i, contents, used);
    if (type == ARG_PATH || type == ARG_STRING)
        return string_gather((uint64_t)from, contents, used);
    socklen_t length = 0;
    if (form.size.argument == -2 && !length_read(call->arguments[form.size.bytes], &length))
        return -1;
    long bytes = buffer_extent(&form, call->arguments, length);
    if (bytes <= 0)
        return bytes;
    if (buffer_is_written(type) && !is_writable(from, (size_t)bytes))
        return -1;
    if (buffer_is_read(type)) {
        long place = piece_gather(contents, used, from, (size_t)bytes);
        if (place < 0)
            return -1;
        /* Another thread may have changed a length since the size of the buffer was read from it. */
        if (buffer_is_length(row, i, &of) && *(socklen_t *)(contents + place) != call->sizes.bytes[of])
            return -1;
        if (form.written == WRITTEN_MESSAGE)
            message_arguments((struct msghdr *)(contents + place), call->arguments);
    }
    return bytes;
}

long buffers_gather(struct buffers *call, uint8_t *contents)
{
    size_t used = 0, sum = 0;
    memset(&call->sizes, 0, sizeof call->sizes);
    if (!buffers_may_go(call->number, call->arguments) || !buffers_are_plain(call->number, call->arguments))
        return -1;
    for (unsigned i = 0; i < 6; i++) {
        long bytes = buffer_gather(call, i, contents, &used);
        if (bytes < 0 || buffers_place(&sum, (size_t)bytes) < 0)
            return -1;
        call->sizes.bytes[i] = (uint16_t)bytes;
    }
    return sum != 0 ? (long)used : -1;
}

/* ---- after it -------------------------------------------------------------------------------------------------------
 */

struct scatter {
    buffers_store *store;
    void *context;
};

static bool piece_scatter(const struct scatter *how, uint64_t address, const uint8_t *contents, size_t bytes)
{
    return user_copy((void *)address, contents, bytes) == 0 || how->store(how->context, address, contents, bytes);
}

/* As the kernel goes through a vector: until there is no more. */
static bool parts_scatter(const struct buffers *call, const struct scatter *how, const uint8_t *contents, size_t bytes)
{
    for (size_t j = 0; j < BUFFERS_PARTS_MAX && bytes > 0; j++) {
        const struct iovec *part = &call->parts[j];
        size_t piece = part->iov_len < bytes ? part->iov_len : bytes;
        if (piece > 0 && !piece_scatter(how, (uint64_t)part->iov_base, contents, piece))
            return false;
        contents += piece;
        bytes -= piece;
    }
    return bytes == 0;
}

/* The kernel writes the events only: another thread may be changing the rest, for the next time. */
static bool events_scatter(uint64_t address, const struct scatter *how, const uint8_t *contents, size_t bytes)
{
    const size_t at = offsetof(struct pollfd, revents), size = sizeof((struct pollfd *)0)->revents;
    for (size_t i = 0; i + sizeof(struct pollfd) <= bytes; i += sizeof(struct pollfd))
        if (!piece_scatter(how, address + i + at, contents + i + at, size))
            return false;
    return true;
}

/* What the kernel writes of a message that it has received into. */
static bool message_scatter(const struct buffers *call, const struct scatter *how, const uint8_t *contents)
{
    const struct {
        size_t at, bytes;
        bool written;
    } fields[] = {
        {offsetof(struct msghdr, msg_namelen), sizeof(socklen_t), call->arguments[3] != 0},
        {offsetof(struct msghdr, msg_flags), sizeof(int), true},
        {offsetof(struct msghdr, msg_controllen), sizeof(size_t), true},
    };
    bool good = true;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].written)
            good &= piece_scatter(how, call->arguments[1] + fields[i].at, contents + fields[i].at, fields[i].bytes);
    return good;
}

/* The piece of argument i, which is in the message that came. */
static bool buffer_scatter(const struct buffers *call, unsigned i, const struct scatter *how, const uint8_t *contents,
                           size_t bytes)
{
    const struct buffer_form form = buffer_form(call->number, i, call->arguments);
    uint64_t address = call->arguments[i];
    if (form.written == WRITTEN_ALWAYS) {
        piece_scatter(how, address, contents, bytes); /* that it cannot be written changes nothing */
        return true;
    }
    if (form.written == WRITTEN_MESSAGE)
        return bytes == sizeof(struct msghdr) && message_scatter(call, how, contents);
    if (buffer_is_vector(form.type))
        return parts_scatter(call, how, contents, bytes);
    if (form.written == WRITTEN_EVENTS && form.size.argument >= 0)
        return events_scatter(address, how, contents, bytes);
    return piece_scatter(how, address, contents, bytes);
}

bool buffers_scatter(const struct buffers *call, const struct wire_buffers *written, const uint8_t *contents,
                     size_t bytes, buffers_store *store, void *context)
{
    /* As the kernel does it, for those that lie over each other: of a message the parts first, its head last. */
    static const uint8_t orders[2][6] = {{0, 1, 2, 3, 4, 5}, {0, 2, 4, 5, 3, 1}};
    const uint8_t *order = orders[call->number == SYS_recvmsg];
    const struct scatter how = {store, context};
    size_t used = 0;
    long places[6] = {0};
    bool good = true;
    for (unsigned i = 0; i < 6; i++) {
        size_t piece = written->bytes[i];
        if (piece == 0)
            continue;
        places[i] = buffers_place(&used, piece);
        if (places[i] < 0 || (size_t)places[i] + piece > bytes || piece > call->sizes.bytes[i])
            return false;
    }
    for (unsigned i = 0; i < 6; i++) {
        unsigned at = order[i];
        if (written->bytes[at] != 0)
            good &= buffer_scatter(call, at, &how, contents + places[at], written->bytes[at]);
    }
    return good;
}
