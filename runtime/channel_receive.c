/*
 * Receiving frames, buffered, and waiting for them well.
 * Not for sending (channel_send.c).
 *
 * Waiting: waking an idle processor costs far more than a message takes, so a receiver polls for a
 * while before it sleeps. For the first microseconds it keeps the processor, then it yields between
 * polls. It learns from every wait: when the message came in time it polls as long again, when it
 * did not it polls for less, and when a yield gave the processor to somebody who kept it for long
 * it goes straight to sleep for a number of waits, since a sleeper that is woken gets the processor
 * back sooner than one that yielded it. When the sender is on the very processor that waits, which
 * the kernel tells for connections within a machine, it sleeps in recv at once, or yields at once
 * where it cannot: that is the cheapest way to let the sender run.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "runtime/channel_private.h"

#define SPIN_TIGHT_NS    20000u  /* without a yield: most answers come in this time when their sender runs */
#define SPIN_WORTH_NS    150000u /* a sleep this short would have been shorter as a spin: waking costs about 100 us */
#define SPIN_HARM_NS     200000u /* a yield this long gave the processor to somebody else's work */
#define SPIN_LOOK_WAITS  64u     /* waits after which to look anew where messages come from */
#define SPIN_PENALTY_MIN 16u
#define SPIN_PENALTY_MAX 1024u

static long socket_receive(int fd, void *bytes, size_t size, int flags)
{
    return kernel_call(SYS_recvfrom, fd, (long)bytes, (long)size, flags, 0, 0);
}

/* Receives what is there: bytes, 0 would block, negative errno (-EINTR only when `flags` lets it
 * block). */
static long input_fill(struct channel *channel, int flags)
{
    struct channel_buffer *input = &channel->input;
    if (buffer_used(input) == 0)
        input->start = input->end = 0;
    if (input->end == input->capacity) {
        int error = buffer_reserve(input, 1);
        if (error)
            return error;
    }
    uint8_t *bytes = input->bytes + input->end;
    size_t room = input->capacity - input->end;
    long received;
    if (channel->tls) {
        received = tls_receive(channel, bytes, room);
        if (received == 0)
            return 0;
    } else {
        received = socket_receive(channel->fd, bytes, room, flags);
        if (received == -EAGAIN)
            return 0;
        if (received == 0)
            received = -EPIPE;
        channel->drained = received > 0 && (size_t)received < room;
    }
    if (received > 0)
        input->end += (size_t)received;
    return received < 0 ? channel_error(received) : received;
}

/* Is what is wanted there: a whole frame (`size` 0) or `size` bytes? 1, 0, or negative errno. Makes
 * room for it. */
static int input_ready(struct channel *channel, size_t size)
{
    struct channel_buffer *input = &channel->input;
    size_t used = buffer_used(input);
    if (size == 0) {
        if (used < sizeof(struct wire_frame))
            return buffer_reserve(input, sizeof(struct wire_frame) - used);
        struct wire_frame frame;
        memcpy(&frame, input->bytes + input->start, sizeof frame);
        if (frame.bytes > WIRE_FRAME_BYTES_MAX)
            return -EPROTO;
        size = sizeof frame + frame.bytes;
    }
    return used >= size ? 1 : buffer_reserve(input, size - used);
}

/* For a connection within the machine: does the last message come from this processor? socket(7),
 * SO_INCOMING_CPU. */
static void spin_look(struct channel *channel)
{
    int sender;
    unsigned own;
    socklen_t size = sizeof sender;
    channel->spin.waits = 0;
    channel->spin.same_processor =
        channel->local &&
        kernel_call(SYS_getsockopt, channel->fd, SOL_SOCKET, SO_INCOMING_CPU, (long)&sender, (long)&size, 0) == 0 &&
        kernel_call(SYS_getcpu, (long)&own, 0, 0, 0, 0, 0) == 0 && sender == (int)own;
}

static void spin_harmed(struct channel_spin *spin)
{
    spin->penalty = spin->penalty ? spin->penalty * 2 : SPIN_PENALTY_MIN;
    if (spin->penalty > SPIN_PENALTY_MAX)
        spin->penalty = SPIN_PENALTY_MAX;
    spin->skip = spin->penalty;
}

/* Polls, and after a while yields, until the budget is used up. Bytes received, 0 time to sleep,
 * negative errno. */
static long input_spin(struct channel *channel, uint64_t start, uint64_t deadline)
{
    struct channel_spin *spin = &channel->spin;
    if (spin->skip > 0) {
        spin->skip--;
        return 0;
    }
    uint64_t end = start + spin->budget_ns, now = start;
    uint64_t tight = spin->same_processor ? start : start + SPIN_TIGHT_NS;
    if (deadline && deadline < end)
        end = deadline;
    while (now < end) {
        bool yield = now >= tight;
        if (yield)
            kernel_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        else
            __builtin_ia32_pause();
        long received = input_fill(channel, MSG_DONTWAIT);
        if (received != 0 && !yield)
            return received;
        uint64_t before = now;
        now = channel_now_ns();
        if (yield && now - before > SPIN_HARM_NS) {
            spin_harmed(spin);
            return received;
        }
        if (received != 0)
            return received;
    }
    return 0;
}

static void spin_learn(struct channel *channel, uint64_t waited_ns)
{
    struct channel_spin *spin = &channel->spin;
    if (waited_ns < SPIN_WORTH_NS) {
        spin->budget_ns = CHANNEL_SPIN_NS;
        if (spin->skip == 0)
            spin->penalty -= spin->penalty / 8;
    } else {
        spin->budget_ns /= 2;
    }
    /* A wait that outlasted the tight spin may have had its sender waiting for this processor. */
    if (++spin->waits >= SPIN_LOOK_WAITS || (waited_ns > SPIN_TIGHT_NS && !spin->same_processor))
        spin_look(channel);
}

/* Sleeps until the socket has something: 1, 0 time is up, negative errno. A blocking recv where
 * that is the same. */
static long input_sleep(struct channel *channel, const sigset_t *mask, uint64_t deadline, bool interruptible)
{
    if (!interruptible && !deadline && !channel->tls)
        return input_fill(channel, 0);
    struct pollfd pollfd = {.fd = channel->fd, .events = POLLIN};
    struct timespec left;
    if (deadline) {
        uint64_t now = channel_now_ns();
        uint64_t ns = deadline > now ? deadline - now : 0;
        left.tv_sec = (time_t)(ns / 1000000000u);
        left.tv_nsec = (long)(ns % 1000000000u);
    }
    return kernel_call(SYS_ppoll, (long)&pollfd, 1, deadline ? (long)&left : 0, (long)mask, _NSIG / 8, 0);
}

/*
 * Until input_ready: 1 (also when receiving can only fail from now on, see receive_error), 0 time
 * is up, -EINTR when `interruptible`. `timeout_ms` -1: none.
 */
static int input_await(struct channel *channel, size_t size, const sigset_t *mask, int timeout_ms, bool interruptible)
{
    uint64_t deadline = 0;
    for (;;) {
        int ready = input_ready(channel, size);
        if (ready < 0)
            channel->receive_error = ready;
        if (ready != 0 || channel->receive_error)
            return 1;
        bool sleep_at_once = channel->spin.same_processor && !interruptible && !channel->tls && timeout_ms < 0;
        long received = sleep_at_once ? 0 : input_fill(channel, MSG_DONTWAIT);
        if (received == 0 && timeout_ms == 0)
            return 0;
        if (received == 0) {
            uint64_t start = channel_now_ns();
            if (!deadline && timeout_ms > 0)
                deadline = start + (uint64_t)timeout_ms * 1000000u;
            received = sleep_at_once ? 0 : input_spin(channel, start, deadline);
            if (received == 0)
                received = input_sleep(channel, mask, deadline, interruptible);
            if (received == -EINTR && interruptible)
                return -EINTR;
            if (received == 0 && deadline && channel_now_ns() >= deadline)
                return 0;
            spin_learn(channel, channel_now_ns() - start);
        }
        if (received < 0 && received != -EINTR)
            channel->receive_error = (int)received;
    }
}

/* Takes the frame at the head of the input, which is complete; the payload stays where it is until
 * the next fill. */
static const void *input_take(struct channel *channel, struct wire_frame *frame)
{
    struct channel_buffer *input = &channel->input;
    memcpy(frame, input->bytes + input->start, sizeof *frame);
    const void *payload = input->bytes + input->start + sizeof *frame;
    input->start += sizeof *frame + frame->bytes;
    return payload;
}

int channel_receive(struct channel *channel, struct wire_frame *frame, void *payload, size_t capacity)
{
    input_await(channel, 0, NULL, -1, false);
    int ready = input_ready(channel, 0);
    if (ready <= 0)
        return ready < 0 ? ready : channel->receive_error;
    memcpy(frame, channel->input.bytes + channel->input.start, sizeof *frame);
    if (frame->bytes > capacity)
        return -EMSGSIZE;
    const void *bytes = input_take(channel, frame);
    if (frame->bytes)
        memcpy(payload, bytes, frame->bytes);
    return 0;
}

int channel_wait(struct channel *channel, const sigset_t *mask, int timeout_ms)
{
    return input_await(channel, 0, mask, timeout_ms, true);
}

int channel_spin(struct channel *channel)
{
    uint64_t start = 0;
    for (;;) {
        int ready = input_ready(channel, 0);
        if (ready < 0)
            channel->receive_error = ready;
        if (ready != 0 || channel->receive_error) {
            if (start != 0)
                spin_learn(channel, channel_now_ns() - start);
            return 1;
        }
        if (start != 0)
            break;
        start = channel_now_ns();
        long received = input_fill(channel, MSG_DONTWAIT);
        if (received == 0)
            received = input_spin(channel, start, 0);
        if (received == 0)
            break;
        if (received < 0 && received != -EINTR)
            channel->receive_error = (int)received;
    }
    if (channel->spin.skip == 0)
        channel->spin.skip = 1; /* the wait that follows need not try again */
    return 0;
}

int channel_receive_bytes(struct channel *channel, void *bytes, size_t size, int timeout_ms)
{
    if (size == 0)
        return 0;
    if (input_await(channel, size, NULL, timeout_ms, false) == 0)
        return -ETIMEDOUT;
    struct channel_buffer *input = &channel->input;
    if (buffer_used(input) < size)
        return channel->receive_error;
    memcpy(bytes, input->bytes + input->start, size);
    input->start += size;
    return 0;
}

int channel_poll_frame(struct channel *channel, struct wire_frame *frame, const void **payload)
{
    for (;;) {
        int ready = input_ready(channel, 0);
        if (ready < 0)
            return channel->receive_error = ready;
        if (ready > 0) {
            *payload = input_take(channel, frame);
            return 1;
        }
        if (channel->receive_error)
            return channel->receive_error;
        /* A recv that did not fill the buffer emptied the socket: the next poll tells when there is
         * more. */
        if (channel->drained) {
            channel->drained = false;
            return 0;
        }
        long received = input_fill(channel, MSG_DONTWAIT);
        if (received == 0)
            return 0;
        if (received < 0)
            channel->receive_error = (int)received;
    }
}
