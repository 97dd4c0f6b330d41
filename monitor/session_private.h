/* Between session.c and the other files of its noun. */
#ifndef MONITOR_SESSION_PRIVATE_H
#define MONITOR_SESSION_PRIVATE_H

#include <sched.h>

#include "monitor/session.h"
#include "monitor/statistics.h"

struct session_node {
    char name[SESSION_ADDRESS_BYTES]; /* of a remote node: its address */
    bool local;
    unsigned cpu_count;
    cpu_set_t cpus;    /* of a local node */
    int thread_socket; /* of a local peer: takes descriptors of thread channels */
    pid_t pid;         /* of a local peer; 0: there is none to wait for */
};

struct session_node *session_node(unsigned node);
void session_hello(struct wire_hello *hello, unsigned node);
/* Makes the runtime process of a peer on this machine: a copy of this one, which gives up all of the program. */
int session_local_start(struct session_node *node, unsigned number, struct channel **engine,
                        char why[WIRE_MESSAGE_BYTES]);
/* Waits, at most `timeout_ms`, for the process of a peer to end: what init does late, or never in a container. Its wait
 * status, or -1: there is none, it has not ended, or somebody else knows. */
int session_local_wait(struct session_node *node, int timeout_ms);
/* A thread channel to it. */
int session_local_thread(struct session_node *node, struct channel **channel, char why[WIRE_MESSAGE_BYTES]);
const char *session_node_name(unsigned node);
unsigned session_node_threads(unsigned node);
/* How many threads have been there. */
uint64_t session_node_placed(unsigned node);
/* Before the program, and once more in the child of a fork. */
void session_place_prepare(void);
void session_end_prepare(void);
/* The pager's callback at home. */
void session_node_lost(unsigned node, size_t pages_lost);
unsigned session_node_cpus(unsigned node);
/* Every node's figures now; false when the session is ending. Waits for the answers. */
bool session_statistics_read(struct wire_statistics all[NODES_MAX]);
/* For spanctl: where every thread is, JSON from malloc. Takes some tenths of a second. */
char *session_threads_json(void);
/* For spanctl: as at the end, while the session runs. */
void session_statistics(struct statistics_session *session, struct wire_statistics all[NODES_MAX]);

#endif
