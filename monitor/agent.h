/*
 * The agent's loop: who connects, and to which session it belongs.
 * Not for sessions themselves: each runs in a process of its own (monitor/peer.h).
 */
#ifndef MONITOR_AGENT_H
#define MONITOR_AGENT_H

#include <stdbool.h>

#include "runtime/channel.h"

#define AGENT_SESSIONS_MAX 256

struct agent_configuration {
    int listen_fd;                 /* not blocking */
    const struct channel_key *key; /* NULL: connections are in the clear */
    unsigned sessions_max;         /* 1 .. AGENT_SESSIONS_MAX */
    bool verbose;
};

/*
 * Serves until SIGTERM or SIGINT, then ends the sessions; returns the exit code. The process must
 * be single-threaded, and must have blocked SIGTERM, SIGINT and SIGCHLD.
 */
int agent_run(const struct agent_configuration *configuration);

#endif
