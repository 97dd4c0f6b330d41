/*
 * A peer's half of a session: what the agent hands over once a session has been let in.
 * Not for letting it in (monitor/agent.c does: connections, keys, versions, processors) nor for
 * home's half.
 */
#ifndef MONITOR_PEER_H
#define MONITOR_PEER_H

#include <stdbool.h>

#include "runtime/channel.h"
#include "runtime/wire.h"

/* The agent's key, for channel_accept on thread connections; NULL: the agent uses none. Set before
 * peer_run. */
extern const struct channel_key *peer_key;

/*
 * Runs the session `hello` on this node until home ends it or is gone. Called in a process of its
 * own, single-threaded so far, in the monitor domain, after the welcome has been sent; ownership of
 * `engine` and `thread_socket` passes.
 *
 * `thread_socket` is a SOCK_SEQPACKET socket: each message carries one descriptor
 * (peer_receive_thread) of a connection whose preamble has been read and names this session. It
 * reads end of file when the agent is gone. Returns the exit code of the process: 0 when the
 * session ended as home wished.
 */
int peer_run(struct channel *engine, int thread_socket, const struct wire_hello *hello);

/*
 * The peer's side of hello and welcome: receives the hello and sends the welcome. WIRE_OK, or why
 * not: the processor, the version, userfaultfd, or `refusal` when it is not NULL; that has been
 * sent, and is in `why`. Negative errno: the other side did not say hello within `timeout_ms`, or
 * is gone.
 */
int peer_admit(struct channel *channel, const char *refusal, int timeout_ms, struct wire_hello *hello,
               char why[WIRE_MESSAGE_BYTES]);

/* The other end of a thread socket: passes `fd`, which stays open here. Never blocks: -EAGAIN when
 * too many wait. */
int peer_send_thread(int thread_socket, int fd);

/*
 * Takes the next thread connection from `thread_socket`: 1 and a close-on-exec descriptor in `*fd`,
 * ready for channel_accept; 0 the agent is gone; -EAGAIN nothing there (with `wait` false); -EINTR;
 * other negative errno.
 */
int peer_receive_thread(int thread_socket, bool wait, int *fd);

#endif
