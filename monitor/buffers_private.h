/* Shared by monitor/buffers.c, the peer's side, buffers_home.c and buffers_quick.c. */
#ifndef MONITOR_BUFFERS_PRIVATE_H
#define MONITOR_BUFFERS_PRIVATE_H

#include <string.h>
#include <sys/socket.h>

#include "monitor/buffers.h"

/* When has the kernel written a buffer, and how much of it? What it only reads it has not written. */
enum buffer_written {
    WRITTEN_WHOLE,    /* all of it, once the call has succeeded */
    WRITTEN_COUNTED,  /* as many bytes or items of it as the result says */
    WRITTEN_POSITIVE, /* all of it when the result is more than 0 */
    WRITTEN_EVENTS,   /* all of it, also when a signal has cut the call short; of each struct pollfd the events */
    WRITTEN_ALWAYS,   /* all of it, whatever the result; it is read as well */
    WRITTEN_MESSAGE,  /* a struct msghdr: the lengths in it, and its flags */
    WRITTEN_NAME,     /* as many bytes as its length says */
};

/* What an argument points to: as the system call table says, or made out where that depends on other arguments. */
struct buffer_form {
    uint8_t type;    /* enum call_argument */
    uint8_t written; /* enum buffer_written */
    struct call_size size;
};
struct buffer_form buffer_form(uint64_t number, unsigned i, const uint64_t arguments[BUFFERS_ARGUMENTS]);

/* 1 + enum buffer_written of the calls whose buffers may go along, 0: the call goes without. */
extern const uint8_t buffers_calls[CALL_COUNT];
/* How a command of fcntl uses its third argument: a struct flock, or ARG_NONE. */
uint8_t buffer_lock_type(uint64_t command);

/* Is what the forms say of the call true for these arguments? */
bool buffers_are_plain(uint64_t number, const uint64_t arguments[6]);

/* Puts into `arguments` what a message points to; others are left as they are. */
void message_arguments(const struct msghdr *message, uint64_t arguments[BUFFERS_ARGUMENTS]);

static inline bool buffer_is_read(uint8_t type)
{
    return type == ARG_IN || type == ARG_INOUT || type == ARG_PATH || type == ARG_STRING || type == ARG_IOVEC_IN;
}

static inline bool buffer_is_written(uint8_t type)
{
    return type == ARG_OUT || type == ARG_INOUT || type == ARG_IOVEC_OUT;
}

static inline bool buffer_is_vector(uint8_t type)
{
    return type == ARG_IOVEC_IN || type == ARG_IOVEC_OUT;
}

/* Is argument i the length of a buffer (socklen_t), which the kernel reads and writes only where there is a buffer? */
static inline bool buffer_is_length(const struct call_row *row, unsigned i, unsigned *buffer)
{
    for (*buffer = 0; *buffer < row->count; ++*buffer)
        if (row->sizes[*buffer].argument == -2 && row->sizes[*buffer].bytes == i)
            return true;
    return false;
}

/* A place for the next piece, aligned to 8 bytes, in WIRE_BUFFERS_BYTES: where it begins, or -1: there is no room. */
static inline long buffers_place(size_t *used, size_t bytes)
{
    size_t start = *used, whole = (bytes + 7) & ~(size_t)7;
    if (bytes > WIRE_BUFFERS_BYTES || whole > WIRE_BUFFERS_BYTES - start)
        return -1;
    *used += whole;
    return (long)start;
}

/* Nothing of ours goes along between pieces of `contents`: one ends at `end`, the next begins at `next`. */
static inline void buffers_gap(uint8_t *contents, size_t end, size_t next)
{
    memset(contents + end, 0, next - end);
}

/* Bytes of a buffer, no string and no vector, of whose `length` (socklen_t) the caller knows. -1: more than can go
 * along. */
static inline long buffer_extent(const struct buffer_form *form, const uint64_t arguments[BUFFERS_ARGUMENTS],
                                 socklen_t length)
{
    const struct call_size *size = &form->size;
    if (size->argument == -2)
        return length <= WIRE_BUFFERS_BYTES ? (long)length : -1;
    uint64_t count = size->argument >= 0 ? arguments[(unsigned)size->argument] : 1;
    return count <= WIRE_BUFFERS_BYTES / size->bytes ? (long)(count * size->bytes) : -1;
}

#endif
