/*
 * Sending frames whole: blocking, or queued for a loop that must not block.
 * Not for receiving (channel_receive.c).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/channel_private.h"

#define SMALL_FRAME_BYTES 512u /* cheaper to copy than to pass as a vector */
#define OUTPUT_KEEP_BYTES (1024u * 1024u)

static long socket_send(int fd, const void *bytes, size_t size, int flags)
{
    return kernel_call(SYS_sendto, fd, (long)bytes, (long)size, flags | MSG_NOSIGNAL, 0, 0);
}

/*
 * Appends a piece of a frame. Memory of the program is read by the kernel: it may be taken away at
 * any moment, which must be an error and not a fault here.
 */
static int output_append(struct channel_buffer *output, const void *bytes, size_t size)
{
    if (size == 0)
        return 0;
    if ((uintptr_t)bytes >= SPAN_ZONE_END) {
        memcpy(output->bytes + output->end, bytes, size);
    } else {
        struct iovec to = {output->bytes + output->end, size}, from = {(void *)(uintptr_t)bytes, size};
        long pid = kernel_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
        long copied = kernel_call(SYS_process_vm_readv, pid, (long)&to, 1, (long)&from, 1, 0);
        if (copied != (long)size)
            return copied < 0 ? (int)copied : -EFAULT;
    }
    output->end += size;
    return 0;
}

/* Appends what is left of a frame after its first `sent` bytes. */
static int output_append_rest(struct channel *channel, const struct iovec *pieces, int count, size_t size, size_t sent)
{
    struct channel_buffer *output = &channel->output;
    if (buffer_used(output) + size - sent > CHANNEL_QUEUE_BYTES_MAX)
        return -ENOBUFS;
    int error = buffer_reserve(output, size - sent);
    size_t end = output->end;
    for (int i = 0; i < count && !error; i++) {
        size_t skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;
        sent -= skip;
        error = output_append(output, (const uint8_t *)pieces[i].iov_base + skip, pieces[i].iov_len - skip);
    }
    if (error)
        output->end = end;
    return error;
}

/* Sends what is queued, as far as the socket takes it: 1 all gone, 0 some left, negative errno. */
static int output_flush(struct channel *channel)
{
    struct channel_buffer *output = &channel->output;
    while (buffer_used(output) > 0) {
        const uint8_t *bytes = output->bytes + output->start;
        long sent = channel->tls ? tls_send(channel, bytes, buffer_used(output))
                                 : socket_send(channel->fd, bytes, buffer_used(output), MSG_DONTWAIT);
        if (sent == 0 || sent == -EAGAIN)
            return 0;
        if (sent == -EINTR)
            continue;
        if (sent < 0)
            return channel->send_error = channel_error(sent);
        output->start += (size_t)sent;
    }
    output->start = output->end = 0;
    if (output->capacity > OUTPUT_KEEP_BYTES) {
        free(output->bytes);
        *output = (struct channel_buffer){0};
    }
    return 1;
}

static int output_flush_all(struct channel *channel)
{
    for (;;) {
        int done = output_flush(channel);
        if (done != 0)
            return done < 0 ? done : 0;
        int ready = channel_poll(channel->fd, POLLOUT, 0);
        if (ready < 0)
            return channel->send_error = ready;
    }
}

/* One attempt at sending pieces directly: bytes sent, 0 when the socket is full, negative errno. */
static long pieces_send(int fd, struct iovec *pieces, int count, size_t size, int flags)
{
    if (size <= SMALL_FRAME_BYTES) {
        uint8_t bytes[SMALL_FRAME_BYTES];
        size_t used = 0;
        for (int i = 0; i < count; used += pieces[i++].iov_len)
            memcpy(bytes + used, pieces[i].iov_base, pieces[i].iov_len);
        return socket_send(fd, bytes, size, flags);
    }
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    return kernel_call(SYS_sendmsg, fd, (long)&message, flags | MSG_NOSIGNAL, 0, 0, 0);
}

/* Blocks until a frame's pieces are sent. */
static int pieces_send_all(struct channel *channel, struct iovec *pieces, int count, size_t size)
{
    bool begun = false;
    while (size > 0) {
        long sent = pieces_send(channel->fd, pieces, count, size, 0);
        if (sent == -EINTR)
            continue;
        if (sent == -EFAULT && !begun)
            return -EFAULT; /* nothing of it went out: the stream is still whole */
        if (sent < 0)
            return channel->send_error = channel_error(sent);
        begun = true;
        size -= (size_t)sent;
        while (count > 0 && (size_t)sent >= pieces->iov_len) {
            sent -= (long)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + sent;
            pieces->iov_len -= (size_t)sent;
        }
    }
    return 0;
}

/* Puts header and payload side by side. The frame's size with its header, or a negative errno. */
static long frame_assemble(struct wire_frame *frame, enum wire_type type, const struct iovec *payload, int count,
                           struct iovec pieces[CHANNEL_IOVECS_MAX])
{
    if (count < 0 || count >= CHANNEL_IOVECS_MAX)
        return -EINVAL;
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        if (payload[i].iov_len > WIRE_FRAME_BYTES_MAX)
            return -EMSGSIZE;
        bytes += payload[i].iov_len;
        pieces[i + 1] = payload[i];
    }
    if (bytes > WIRE_FRAME_BYTES_MAX)
        return -EMSGSIZE;
    *frame = (struct wire_frame){.bytes = (uint32_t)bytes, .type = (uint16_t)type};
    pieces[0] = (struct iovec){frame, sizeof *frame};
    return (long)(bytes + sizeof *frame);
}

static int send_whole(struct channel *channel, struct iovec *pieces, int count, size_t size)
{
    lock_acquire(&channel->send_lock);
    int error = channel->send_error;
    if (!error && !channel->tls && buffer_used(&channel->output) == 0) {
        error = pieces_send_all(channel, pieces, count, size);
    } else if (!error) {
        error = output_append_rest(channel, pieces, count, size, 0);
        if (!error)
            error = output_flush_all(channel);
    }
    lock_release(&channel->send_lock);
    return error;
}

int channel_send(struct channel *channel, enum wire_type type, const struct iovec *payload, int count)
{
    struct wire_frame frame;
    struct iovec pieces[CHANNEL_IOVECS_MAX];
    long size = frame_assemble(&frame, type, payload, count, pieces);
    return size < 0 ? (int)size : send_whole(channel, pieces, count + 1, (size_t)size);
}

int channel_send_bytes(struct channel *channel, const void *bytes, size_t size)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, size};
    return send_whole(channel, &piece, 1, size);
}

int channel_queue(struct channel *channel, enum wire_type type, const struct iovec *payload, int count)
{
    struct wire_frame frame;
    struct iovec pieces[CHANNEL_IOVECS_MAX];
    long size = frame_assemble(&frame, type, payload, count, pieces);
    if (size < 0)
        return (int)size;

    lock_acquire(&channel->send_lock);
    int error = channel->send_error;
    long sent = 0;
    if (!error && !channel->tls && buffer_used(&channel->output) == 0) {
        do
            sent = pieces_send(channel->fd, pieces, count + 1, (size_t)size, MSG_DONTWAIT);
        while (sent == -EINTR);
        if (sent == -EAGAIN)
            sent = 0;
        if (sent < 0)
            error = sent == -EFAULT ? -EFAULT : (channel->send_error = channel_error(sent));
    }
    if (!error && sent < size) {
        error = output_append_rest(channel, pieces, count + 1, (size_t)size, (size_t)sent);
        if (error && sent > 0)
            channel->send_error = error; /* half a frame is out: nothing can follow it */
        if (!error && channel->tls)
            error = output_flush(channel);
    }
    lock_release(&channel->send_lock);
    return error < 0 ? error : 0;
}

int channel_stage(struct channel *channel, enum wire_type type, uint16_t flags, const struct iovec *payload, int count)
{
    struct wire_frame frame;
    struct iovec pieces[CHANNEL_IOVECS_MAX];
    long size = frame_assemble(&frame, type, payload, count, pieces);
    if (size < 0)
        return (int)size;
    frame.flags = flags;
    lock_acquire(&channel->send_lock);
    int error = channel->send_error;
    if (!error)
        error = output_append_rest(channel, pieces, count + 1, (size_t)size, 0);
    lock_release(&channel->send_lock);
    return error;
}

int channel_flush(struct channel *channel)
{
    lock_acquire(&channel->send_lock);
    int result = channel->send_error ? channel->send_error : output_flush(channel);
    lock_release(&channel->send_lock);
    return result;
}
