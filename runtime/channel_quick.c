/*
 * One exchange with the other half of a thread, for code that runs on the program's vector registers and without the
 * monitor's TLS: general registers only, no libc, no locks, and never a sleep.
 * Not for connections under TLS, nor for waiting long: both are refused or given back to channel_receive.c.
 */
#include <errno.h>
#include <sys/socket.h>

#include "runtime/channel_private.h"
#include "runtime/kernel.h"

#define QUICK_POLLS 30u /* about as long as the tight spin of channel_receive.c */

static void bytes_copy(void *to, const void *from, size_t size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/* False: nothing went out. What cannot go out at once goes out in the end, or the connection is broken. */
static bool frame_send(struct channel *channel, const uint8_t *frame, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        int flags = MSG_NOSIGNAL | (sent == 0 ? MSG_DONTWAIT : 0);
        long result = kernel_call(SYS_sendto, channel->fd, (long)(frame + sent), (long)(size - sent), flags, 0, 0);
        if (result < 0 && sent == 0)
            return false;
        if (result == -EINTR)
            continue;
        if (result < 0) {
            channel->send_error = -EPIPE;
            break;
        }
        sent += (size_t)result;
    }
    return true;
}

enum channel_quick channel_quick_exchange(struct channel *channel, enum wire_type type, const void *payload,
                                          size_t bytes, enum wire_type answer_type, void *answer, size_t answer_bytes)
{
    uint8_t frame[sizeof(struct wire_frame) + CHANNEL_QUICK_MAX];
    struct wire_frame header;
    struct channel_buffer *input = &channel->input;
    const size_t wanted = sizeof header + answer_bytes;
    if (channel->tls || bytes > CHANNEL_QUICK_MAX || buffer_used(input) != 0 || input->capacity < wanted ||
        buffer_used(&channel->output) != 0 || channel->send_error || channel->receive_error)
        return CHANNEL_QUICK_REFUSED;
    header.bytes = (uint32_t)bytes;
    header.type = (uint16_t)type;
    header.flags = 0;
    bytes_copy(frame, &header, sizeof header);
    bytes_copy(frame + sizeof header, payload, bytes);
    if (!frame_send(channel, frame, sizeof header + bytes))
        return CHANNEL_QUICK_REFUSED;
    input->start = input->end = 0;
    long received = 0;
    unsigned polls = channel->spin.same_processor || channel->spin.skip > 0 ? 0 : QUICK_POLLS;
    for (; polls > 0 && received <= 0; polls--) {
        received = kernel_call(SYS_recvfrom, channel->fd, (long)input->bytes, (long)wanted, MSG_DONTWAIT, 0, 0);
        __builtin_ia32_pause();
    }
    if (received > 0)
        input->end = (size_t)received;
    if ((size_t)input->end != wanted)
        return CHANNEL_QUICK_SENT;
    bytes_copy(&header, input->bytes, sizeof header);
    if (header.type != answer_type || header.bytes != answer_bytes)
        return CHANNEL_QUICK_SENT; /* for the other way of receiving to complain */
    bytes_copy(answer, input->bytes + sizeof header, answer_bytes);
    input->end = 0;
    return CHANNEL_QUICK_ANSWERED;
}
