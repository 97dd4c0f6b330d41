/*
 * What the files of the channel share: its state, and the seam between plain and TLS transport.
 * Not for users of channels (runtime/channel.h).
 */
#ifndef RUNTIME_CHANNEL_PRIVATE_H
#define RUNTIME_CHANNEL_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/channel.h"
#include "runtime/kernel.h"
#include "runtime/lock.h"

#define CHANNEL_KEY_BYTES       32
#define CHANNEL_INPUT_BYTES     (16u * 1024u) /* to begin with; grows to the largest frame met */
#define CHANNEL_QUEUE_BYTES_MAX (64u * 1024u * 1024u)
#define CHANNEL_IOVECS_MAX      16
#define CHANNEL_ADDRESSES_MAX   8
#define CHANNEL_SPIN_NS         50000u /* spinning before a sleep, to begin with and at most */

struct ssl_st;

struct channel_key {
    uint8_t bytes[CHANNEL_KEY_BYTES];
};

/* Bytes that wait: [start, end) of `bytes`. */
struct channel_buffer {
    uint8_t *bytes;
    size_t start, end, capacity;
};

/* What waiting has taught: how long spinning is worth it, and for how many waits it is not tried at
 * all. */
struct channel_spin {
    uint32_t budget_ns;
    uint32_t skip, penalty;
    uint32_t waits;      /* since it was looked where messages come from */
    bool same_processor; /* the last message was sent by the processor that waits for it */
};

struct channel {
    int fd;
    bool local;           /* both ends are on this machine */
    struct ssl_st *tls;   /* NULL: plain */
    struct lock tls_lock; /* the TLS object is not safe for a reader beside a writer */
    uint32_t tls_records; /* written since the last key update */

    struct lock send_lock; /* one frame at a time; also guards `output` and `send_error` */
    struct channel_buffer output;
    int send_error; /* sticky negative errno */

    struct channel_buffer input; /* of the one receiving thread */
    int receive_error;           /* sticky negative errno, reported when the frames before it are used up */
    bool drained;                /* the last recv took all there was */
    struct channel_spin spin;
};

static inline size_t buffer_used(const struct channel_buffer *buffer)
{
    return buffer->end - buffer->start;
}
/* Makes room for `size` bytes after the used ones, moving them to the front. 0 or -ENOMEM. */
int buffer_reserve(struct channel_buffer *buffer, size_t size);

uint64_t channel_now_ns(void);
/* A negative errno as users of channels see it: every way in which a connection ends is -EPIPE. */
int channel_error(long error);
/* poll for `events` until the deadline (0: none): 1 ready, 0 time is up, negative errno but not
 * -EINTR. */
int channel_poll(int fd, short events, uint64_t deadline_ns);
/* A channel around a connected descriptor; sets its options. NULL: no memory, and `fd` is still the
 * caller's. */
struct channel *channel_create(int fd);

/* Like recv and send, but never blocking: bytes, 0 would block, negative errno (-EPIPE: the other
 * side is gone). */
long tls_receive(struct channel *channel, void *bytes, size_t size);
long tls_send(struct channel *channel, const void *bytes, size_t size);
/* The handshake. On failure a line in `why` and a negative errno. `other` names the other side for
 * it. */
int tls_start(struct channel *channel, const struct channel_key *key, bool server, uint64_t deadline_ns,
              const char *other, char why[WIRE_MESSAGE_BYTES]);
void tls_end(struct channel *channel);

/*
 * Resolves "host[:port]" or "[v6]:port": numbers, then /etc/hosts, then DNS (libc's name service
 * switch needs shared libraries, which a static program must not load). The count of addresses, 1
 * .. CHANNEL_ADDRESSES_MAX, or negative errno: -EINVAL malformed, -ENOENT no such host.
 */
int address_resolve(const char *address, struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX]);
socklen_t address_bytes(const struct sockaddr_storage *address);
bool address_same_host(const struct sockaddr_storage *one, const struct sockaddr_storage *other);
bool address_is_loopback(const struct sockaddr_storage *address);
/* "1.2.3.4:5" or "[v6]:5". */
void address_name(const struct sockaddr_storage *address, char name[64]);

#endif
