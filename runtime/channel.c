/*
 * Frames over a connection: sending whole, receiving buffered, waiting well.
 * Not for making connections (channel_open.c), nor for cryptography (channel_tls.c).
 *
 * Waiting: waking an idle processor costs far more than a message takes, so a receiver polls for a while before it sleeps.
 * For the first microseconds it keeps the processor, then it yields between polls. It learns from every wait: when the
 * message came in time it polls as long again, when it did not it polls for less, and when a yield gave the processor to
 * somebody who kept it for long it goes straight to sleep for a number of waits, since a sleeper that is woken gets the
 * processor back sooner than one that yielded it. When the sender is on the very processor that waits, which the kernel
 * tells for connections within a machine, it sleeps in recv at once, or yields at once where it cannot: that is the
 * cheapest way to let the sender run.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/channel_private.h"

#define SPIN_BUDGET_NS       50000u /* to begin with, and at most */
#define SPIN_TIGHT_NS        20000u /* without a yield: most answers come in this time when their sender runs */
#define SPIN_WORTH_NS        150000u /* a sleep this short would have been shorter as a spin: waking costs about 100 us */
#define SPIN_HARM_NS         200000u /* a yield this long gave the processor to somebody else's work */
#define SPIN_LOOK_WAITS      64u /* waits after which to look anew where messages come from */
#define SPIN_PENALTY_MIN     16u
#define SPIN_PENALTY_MAX     1024u
#define SMALL_FRAME_BYTES    512u /* cheaper to copy than to pass as a vector */
#define OUTPUT_KEEP_BYTES    (1024u * 1024u)

uint64_t channel_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long socket_receive(int fd, void *bytes, size_t size, int flags)
{
    return kernel_call(SYS_recvfrom, fd, (long)bytes, (long)size, flags, 0, 0);
}

static long socket_send(int fd, const void *bytes, size_t size, int flags)
{
    return kernel_call(SYS_sendto, fd, (long)bytes, (long)size, flags | MSG_NOSIGNAL, 0, 0);
}

/* Every way in which a connection ends is one to the callers. */
static int error_normal(long error)
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

/* ---- sending --------------------------------------------------------------------------------------------------------- */

/*
 * Appends a piece of a frame. Memory of the program is read by the kernel: it may be taken away at any moment, which must
 * be an error and not a fault here.
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
            return channel->send_error = error_normal(sent);
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
            return channel->send_error = error_normal(sent);
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
            error = sent == -EFAULT ? -EFAULT : (channel->send_error = error_normal(sent));
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

int channel_flush(struct channel *channel)
{
    lock_acquire(&channel->send_lock);
    int result = channel->send_error ? channel->send_error : output_flush(channel);
    lock_release(&channel->send_lock);
    return result;
}

/* ---- receiving ------------------------------------------------------------------------------------------------------- */

/* Receives what is there: bytes, 0 would block, negative errno (-EINTR only when `flags` lets it block). */
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
    return received < 0 ? error_normal(received) : received;
}

/* Is what is wanted there: a whole frame (`size` 0) or `size` bytes? 1, 0, or negative errno. Makes room for it. */
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

/* For a connection within the machine: does the last message come from this processor? socket(7), SO_INCOMING_CPU. */
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

/* Polls, and after a while yields, until the budget is used up. Bytes received, 0 time to sleep, negative errno. */
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
        spin->budget_ns = SPIN_BUDGET_NS;
        if (spin->skip == 0)
            spin->penalty -= spin->penalty / 8;
    } else {
        spin->budget_ns /= 2;
    }
    /* A wait that outlasted the tight spin may have had its sender waiting for this processor. */
    if (++spin->waits >= SPIN_LOOK_WAITS || (waited_ns > SPIN_TIGHT_NS && !spin->same_processor))
        spin_look(channel);
}

/* Sleeps until the socket has something: 1, 0 time is up, negative errno. A blocking recv where that is the same. */
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
 * Until input_ready: 1 (also when receiving can only fail from now on, see receive_error), 0 time is up, -EINTR when
 * `interruptible`. `timeout_ms` -1: none.
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

/* Takes the frame at the head of the input, which is complete; the payload stays where it is until the next fill. */
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
        /* A recv that did not fill the buffer emptied the socket: the next poll tells when there is more. */
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

/* ---- the object ------------------------------------------------------------------------------------------------------ */

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
    channel->spin.budget_ns = SPIN_BUDGET_NS;
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
    close(channel->fd);
    free(channel->input.bytes);
    free(channel->output.bytes);
    free(channel);
}

int channel_fd(const struct channel *channel)
{
    return channel->fd;
}
