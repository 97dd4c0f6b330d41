/*
 * The channel itself: made from a connected descriptor, ended, and what sending and receiving
 * share. Not for making connections (channel_open.c), for frames (channel_send.c,
 * channel_receive.c), nor for cryptography (channel_tls.c).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/channel_private.h"
#include "runtime/descriptor.h"

uint64_t channel_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int channel_error(long error)
{
    switch (error) {
    case -ECONNRESET:
    case -ECONNABORTED:
    case -ETIMEDOUT:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ENETDOWN:
    case -ENOTCONN:
    case -EBADF:
        return -EPIPE;
    default:
        return (int)error;
    }
}

int channel_poll(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = events};
        struct timespec left;
        if (deadline_ns) {
            uint64_t now = channel_now_ns();
            uint64_t ns = deadline_ns > now ? deadline_ns - now : 0;
            left.tv_sec = (time_t)(ns / 1000000000u);
            left.tv_nsec = (long)(ns % 1000000000u);
        }
        long result = kernel_call(SYS_ppoll, (long)&pollfd, 1, deadline_ns ? (long)&left : 0, 0, 0, 0);
        if (result != -EINTR)
            return (int)result;
    }
}

int buffer_reserve(struct channel_buffer *buffer, size_t size)
{
    size_t used = buffer_used(buffer);
    if (used == 0)
        buffer->start = buffer->end = 0;
    if (buffer->capacity - buffer->end >= size)
        return 0;
    if (buffer->capacity - used >= size && buffer->start >= used) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, used);
        buffer->start = 0;
        buffer->end = used;
        return 0;
    }
    size_t capacity = buffer->capacity ? buffer->capacity : CHANNEL_INPUT_BYTES;
    while (capacity - used < size || capacity - used < used)
        capacity *= 2;
    uint8_t *bytes = malloc(capacity);
    if (!bytes)
        return -ENOMEM;
    if (used)
        memcpy(bytes, buffer->bytes + buffer->start, used);
    free(buffer->bytes);
    *buffer = (struct channel_buffer){.bytes = bytes, .end = used, .capacity = capacity};
    return 0;
}

static bool socket_is_local(int fd)
{
    struct sockaddr_storage own = {0}, other = {0};
    socklen_t own_size = sizeof own, other_size = sizeof other;
    return getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
           getpeername(fd, (struct sockaddr *)&other, &other_size) == 0 &&
           (own.ss_family == AF_INET || own.ss_family == AF_INET6) && address_same_host(&own, &other);
}

struct channel *channel_create(int fd)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        return NULL;
    channel->fd = fd;
    channel->spin.budget_ns = CHANNEL_SPIN_NS;
    channel->local = socket_is_local(fd);
    if (buffer_reserve(&channel->input, CHANNEL_INPUT_BYTES) < 0) {
        free(channel);
        return NULL;
    }
    return channel;
}

void channel_close(struct channel *channel)
{
    if (!channel)
        return;
    tls_end(channel);
    descriptor_close(channel->fd);
    free(channel->input.bytes);
    free(channel->output.bytes);
    free(channel);
}

int channel_fd(const struct channel *channel)
{
    return channel->fd;
}
