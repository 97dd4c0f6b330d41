/*
 * What the arguments of a call point to, sent along with the call and its result, so that no page has to move for a few
 * bytes. Not for calls with much of it, nor for those of which only a driver knows what they point to (ioctl): home's
 * kernel reads and writes the program's memory for them.
 */
#ifndef MONITOR_BUFFERS_H
#define MONITOR_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "runtime/wire.h"
#include "syscall/table.h"

#define BUFFERS_PARTS_MAX 16u /* of a vector */

/*
 * A call's arguments, and more where one of them is a struct msghdr: what that points to stands in 3 to 5 (name,
 * vector, control data), which are no arguments of such calls, and how much of it there is in 6 to 8.
 */
#define BUFFERS_ARGUMENTS 9u

/* A call on its way, at the peer. */
struct buffers {
    uint64_t number, arguments[BUFFERS_ARGUMENTS];
    struct wire_buffers sizes;
    struct iovec parts[BUFFERS_PARTS_MAX]; /* of its vector, as the kernel would have read it when the call began */
};

/* Can buffers go along with this call? General registers only, no TLS, no libc. */
bool buffers_may_go(uint64_t number, const uint64_t arguments[6]);

/*
 * Peer: for the call's number and arguments, which buffers go along, and what the kernel will read of them, into
 * `contents`, WIRE_BUFFERS_BYTES long; what it will write is known to be writable. The bytes of `contents`, or -1: the
 * call is to be made with the program's memory, because there is nothing to send, too much of it, or memory that this
 * node cannot touch. May wait for pages.
 */
long buffers_gather(struct buffers *call, uint8_t *contents);

/* Stores `bytes` at an address of the program's where this node cannot. False: the program cannot write there. */
typedef bool buffers_store(void *context, uint64_t address, const uint8_t *contents, size_t bytes);

/* Peer: puts what the kernel wrote into the program's memory. False: some of it is not there any more, or malformed. */
bool buffers_scatter(const struct buffers *call, const struct wire_buffers *written, const uint8_t *contents,
                     size_t bytes, buffers_store *store, void *context);

/* Each piece of memory begins anywhere in a page. */
#define BUFFERS_MEMORY_BYTES (WIRE_BUFFERS_BYTES + (BUFFERS_PARTS_MAX + 7) * PAGE_BYTES)

/*
 * Home: makes `arguments`, of which the first 6 have come, point to buffers in `memory`, BUFFERS_MEMORY_BYTES long and
 * aligned to a page, with the contents that have come in them. Each begins as far from the beginning of a page as the
 * program's does, for the sake of calls that ask for alignment (O_DIRECT). False: what has come is malformed.
 */
bool buffers_open(uint64_t number, const struct wire_buffers *sizes, const uint8_t *contents, size_t bytes,
                  uint64_t arguments[BUFFERS_ARGUMENTS], uint8_t *memory);

/*
 * Home, after the call with the `arguments` that buffers_open has made: what the kernel wrote, put together in
 * `contents`, WIRE_BUFFERS_BYTES long. Its bytes.
 */
size_t buffers_close(uint64_t number, const struct wire_buffers *sizes, const uint64_t arguments[BUFFERS_ARGUMENTS],
                     long result, struct wire_buffers *written, uint8_t *contents);

#endif
