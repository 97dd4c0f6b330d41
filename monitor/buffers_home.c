/* See monitor/buffers.h: home's side. What has come is checked, for it is another machine that sent it. */
#include <errno.h>
#include <string.h>

#include "monitor/buffers_private.h"
#include "syscall/entry.h"

/* ---- before the call ------------------------------------------------------------------------------------------------
 */

struct opening {
    const uint8_t *contents; /* `bytes` of them, `read` are done with */
    size_t bytes, read;
    uint8_t *memory; /* of which `used` are taken */
    size_t used;
};

/* The next piece of contents: NULL when there is none. */
static const uint8_t *contents_next(struct opening *opening, size_t bytes)
{
    long at = buffers_place(&opening->read, bytes);
    return at >= 0 && (size_t)at + bytes <= opening->bytes ? opening->contents + at : NULL;
}

/* Memory for a piece that the program has at `address`, zero. The sizes together are no more than there is room for. */
static uint8_t *memory_next(struct opening *opening, uint64_t address, size_t bytes)
{
    uint8_t *piece = opening->memory + opening->used + ((address - opening->used) & (PAGE_BYTES - 1));
    memset(piece, 0, bytes);
    opening->used = (size_t)(piece - opening->memory) + bytes;
    return piece;
}

static bool vector_open(struct opening *opening, const struct buffer_form *form, unsigned i, size_t bytes,
                        uint64_t arguments[BUFFERS_ARGUMENTS])
{
    uint64_t count = arguments[(unsigned)form->size.argument];
    size_t size = count * sizeof(struct iovec), sum = 0;
    const uint8_t *parts = count <= BUFFERS_PARTS_MAX ? contents_next(opening, size) : NULL;
    if (!parts)
        return false;
    struct iovec *vector = (struct iovec *)memory_next(opening, 0, size);
    memcpy(vector, parts, size);
    arguments[i] = (uint64_t)vector;
    for (struct iovec *part = vector; part < vector + count; part++) {
        if (part->iov_len == 0)
            continue;
        if (part->iov_len > bytes - sum)
            return false;
        sum += part->iov_len;
        part->iov_base = memory_next(opening, (uint64_t)part->iov_base, part->iov_len);
        const uint8_t *from = NULL;
        if (form->type == ARG_IOVEC_IN && !(from = contents_next(opening, part->iov_len)))
            return false;
        if (from)
            memcpy(part->iov_base, from, part->iov_len);
    }
    return sum == bytes;
}

static bool buffer_open(struct opening *opening, uint8_t type, size_t bytes, uint64_t *argument)
{
    uint8_t *memory = memory_next(opening, *argument, bytes);
    *argument = (uint64_t)memory;
    if (!buffer_is_read(type))
        return true;
    const uint8_t *from = contents_next(opening, bytes);
    if (!from)
        return false;
    memcpy(memory, from, bytes);
    return (type != ARG_PATH && type != ARG_STRING) || memory[bytes - 1] == 0;
}

/* Does the kernel take each buffer to be as large as it is? */
static bool sizes_fit(uint64_t number, const struct wire_buffers *sizes, const uint64_t arguments[BUFFERS_ARGUMENTS])
{
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, arguments);
        socklen_t length = 0;
        if (sizes->bytes[i] == 0 || form.type == ARG_PATH || form.type == ARG_STRING || buffer_is_vector(form.type))
            continue;
        if (form.size.argument == -2) {
            if (sizes->bytes[form.size.bytes] != sizeof length)
                return false;
            memcpy(&length, (const void *)arguments[form.size.bytes], sizeof length);
        }
        if (buffer_extent(&form, arguments, length) != sizes->bytes[i])
            return false;
    }
    return true;
}

bool buffers_open(uint64_t number, const struct wire_buffers *sizes, const uint8_t *contents, size_t bytes,
                  uint64_t arguments[BUFFERS_ARGUMENTS], uint8_t *memory)
{
    if (!buffers_may_go(number, arguments) || !buffers_are_plain(number, arguments))
        return false;
    struct opening opening = {.contents = contents, .bytes = bytes, .memory = memory};
    struct msghdr *message = NULL;
    size_t sum = 0;
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, arguments);
        size_t piece = sizes->bytes[i];
        uint8_t type = form.type;
        if (piece == 0)
            continue;
        if (!(buffer_is_read(type) || buffer_is_written(type)) || buffers_place(&sum, piece) < 0)
            return false;
        if (!(buffer_is_vector(type) ? vector_open(&opening, &form, i, piece, arguments)
                                     : buffer_open(&opening, type, piece, &arguments[i])))
            return false;
        if (form.written == WRITTEN_MESSAGE && piece == sizeof *message) {
            message = (struct msghdr *)arguments[i];
            message_arguments(message, arguments);
        }
    }
    if (!sizes_fit(number, sizes, arguments))
        return false;
    if (message) {
        message->msg_name = (void *)arguments[3];
        message->msg_iov = (struct iovec *)arguments[4];
        message->msg_control = (void *)arguments[5];
    }
    return true;
}

/* ---- after it -------------------------------------------------------------------------------------------------------
 */

static bool is_written_after(const struct buffer_form *form, long result)
{
    if (!buffer_is_written(form->type))
        return false;
    switch (form->written) {
    case WRITTEN_ALWAYS:
        return true;
    case WRITTEN_POSITIVE:
        return result > 0;
    case WRITTEN_EVENTS:
        return result >= 0 || result == -EINTR || RESULT_IS_RESTART(result);
    default:
        return result >= 0;
    }
}

/* What the kernel wrote of a buffer that has `bytes`. */
static size_t bytes_written(const struct buffer_form *form, size_t bytes, const uint64_t arguments[BUFFERS_ARGUMENTS],
                            long result)
{
    const struct msghdr *message = (const struct msghdr *)arguments[1];
    uint64_t count = bytes;
    if (form->size.argument == -2) {
        socklen_t length;
        memcpy(&length, (const void *)arguments[form->size.bytes], sizeof length);
        count = length;
    } else if (form->written == WRITTEN_NAME) {
        count = message->msg_namelen;
    } else if (form->written == WRITTEN_COUNTED && form->size.argument >= 0) {
        count = (uint64_t)result * (buffer_is_vector(form->type) ? 1 : form->size.bytes);
    }
    return count < bytes ? count : bytes;
}

static void piece_close(uint8_t type, uint64_t argument, uint8_t *contents, size_t bytes)
{
    if (!buffer_is_vector(type)) {
        memcpy(contents, (const void *)argument, bytes);
        return;
    }
    for (const struct iovec *part = (const struct iovec *)argument; bytes > 0; part++) {
        size_t piece = part->iov_len < bytes ? part->iov_len : bytes;
        memcpy(contents, part->iov_base, piece);
        contents += piece;
        bytes -= piece;
    }
}

size_t buffers_close(uint64_t number, const struct wire_buffers *sizes, const uint64_t arguments[BUFFERS_ARGUMENTS],
                     long result, struct wire_buffers *written, uint8_t *contents)
{
    size_t used = 0;
    memset(written, 0, sizeof *written);
    for (unsigned i = 0; i < 6; i++) {
        const struct buffer_form form = buffer_form(number, i, arguments);
        if (sizes->bytes[i] == 0 || !is_written_after(&form, result))
            continue;
        size_t bytes = bytes_written(&form, sizes->bytes[i], arguments, result);
        if (bytes == 0)
            continue;
        long place = buffers_place(&used, bytes); /* no more than there was room for */
        piece_close(form.type, arguments[i], contents + place, bytes);
        buffers_gap(contents, (size_t)place + bytes, used);
        written->bytes[i] = (uint16_t)bytes;
    }
    return used;
}
