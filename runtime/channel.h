/*
 * A channel: one ordered connection between two nodes, TCP with or without TLS 1.3 PSK.
 * Not for what the bytes mean beyond set-up: frames are interpreted by the pager and by the monitor.
 *
 * All functions run in the monitor domain, return 0 or a count, or a negative errno. A channel is used by one thread at
 * a time for each direction, except channel_send, which locks.
 */
#ifndef RUNTIME_CHANNEL_H
#define RUNTIME_CHANNEL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "runtime/wire.h"

struct channel;

/* A pre-shared key, read from a file of mode 0600; NULL stands for "no key". */
struct channel_key;

/* Reads the key file `path`. On failure writes one line for the user into `why` and returns a negative errno. */
int channel_key_read(const char *path, struct channel_key **key, char why[WIRE_MESSAGE_BYTES]);
/* Writes a fresh random key to `path`, mode 0600, refusing to replace a file. */
int channel_key_create(const char *path, char why[WIRE_MESSAGE_BYTES]);
/* True when `address` ("host[:port]", "[v6]:port") names only loopback addresses. Negative errno when it does not
 * resolve. */
int channel_is_loopback(const char *address);

/*
 * Connects to `address`, sends the preamble, does TLS when `key` is given. Sets TCP_NODELAY. `timeout_ms` bounds all of
 * it. The descriptor is moved to `fd_floor` or above when that is not 0 (see fdguard in the monitor).
 */
int channel_connect(const char *address, enum wire_kind kind, const uint8_t session[16], const struct channel_key *key,
                    int timeout_ms, int fd_floor, struct channel **out, char why[WIRE_MESSAGE_BYTES]);
/* Takes over an accepted descriptor whose preamble has been read already; does the server side of TLS when `key`. */
int channel_accept(int fd, const struct channel_key *key, int timeout_ms, struct channel **out,
                   char why[WIRE_MESSAGE_BYTES]);
/* Reads a preamble from an accepted descriptor, before channel_accept. Bounded by `timeout_ms`; checks magic only. */
int channel_read_preamble(int fd, int timeout_ms, struct wire_preamble *out);
/* A listening descriptor (close-on-exec, not blocking) on the first address that `address` names, and in `name` where
 * it listens, "1.2.3.4:5" or "[v6]:5", with the port that was chosen when it asked for port 0. */
int channel_listen(const char *address, char name[64], char why[WIRE_MESSAGE_BYTES]);
void channel_close(struct channel *channel); /* NULL is fine */
int channel_fd(const struct channel *channel);

/* What TCP knows of the connection. */
struct channel_link {
    uint64_t acknowledged;  /* bytes so far */
    uint32_t unsent;        /* bytes that wait in the kernel to be sent for the first time */
    uint32_t round_trip_us; /* smoothed */
};
/* 0 or a negative errno: it is not TCP, or the kernel does not tell. Any thread. */
int channel_link(const struct channel *channel, struct channel_link *link);

/* Sends one whole frame (header made here) and its payload in one write where possible. Blocks; takes the send lock. */
int channel_send(struct channel *channel, enum wire_type type, const struct iovec *payload, int count);
/*
 * Receives one frame. Spins for a bounded, adaptive time (yielding the processor), then sleeps. `payload` has
 * `capacity` bytes; a larger frame is -EMSGSIZE. Buffers, so a frame that is complete costs one recv. -EPIPE: the other
 * side is gone.
 */
int channel_receive(struct channel *channel, struct wire_frame *frame, void *payload, size_t capacity);
/*
 * Waits until channel_receive would not block: spins as above, then ppoll with `mask` (NULL: no change) and
 * `timeout_ms`
 * (-1: none). 1 ready, 0 time is up, -EINTR a signal handler ran during the sleep.
 */
int channel_wait(struct channel *channel, const sigset_t *mask, int timeout_ms);
/* As channel_wait, but gives up where that would sleep: 1 ready, 0 not. */
int channel_spin(struct channel *channel);
/* Raw exchange for set-up structures (hello, welcome), no frame header. */
int channel_send_bytes(struct channel *channel, const void *bytes, size_t size);
int channel_receive_bytes(struct channel *channel, void *bytes, size_t size, int timeout_ms);

/* ---- channel_quick.c: general registers only, no TLS, never blocks
 * ------------------------------------------------------ */

#define CHANNEL_QUICK_MAX 64u /* bytes of payload each way */

enum channel_quick {
    CHANNEL_QUICK_REFUSED, /* nothing was sent */
    CHANNEL_QUICK_SENT,    /* channel_receive has the answer in time */
    CHANNEL_QUICK_ANSWERED,
};

/* Sends a frame and waits a moment for an answer of this type and size. Nobody else may use the channel meanwhile. */
enum channel_quick channel_quick_exchange(struct channel *channel, enum wire_type type, const void *payload,
                                          size_t bytes, enum wire_type answer_type, void *answer, size_t answer_bytes);

/* ---- for the engine loop: never block
 * -------------------------------------------------------------------------------- */

/* Queues a frame and tries to send what is queued. -ENOBUFS when more than 64 MiB wait (the peer has stopped reading).
 */
int channel_queue(struct channel *channel, enum wire_type type, const struct iovec *payload, int count);
/* Queues a frame and leaves the sending to channel_flush, so that several frames cost one system call. `flags` are
 * WIRE_FRAME_*. */
int channel_stage(struct channel *channel, enum wire_type type, uint16_t flags, const struct iovec *payload, int count);
/* Sends what is queued as far as possible: 1 all gone, 0 some left (poll for POLLOUT), negative errno. */
int channel_flush(struct channel *channel);
/* 1 and a frame, valid until the next call; 0 nothing complete yet; -EPIPE. */
int channel_poll_frame(struct channel *channel, struct wire_frame *frame, const void **payload);

/* ---- handshake
 * ------------------------------------------------------------------------------------------------------- */

void wire_cpu_probe(struct wire_cpu *cpu);
/* WIRE_OK or WIRE_BAD_CPU, with the missing feature's name in `message`, as /proc/cpuinfo spells it. */
enum wire_status wire_cpu_check(const struct wire_cpu *home, const struct wire_cpu *peer,
                                char message[WIRE_MESSAGE_BYTES]);

#endif
