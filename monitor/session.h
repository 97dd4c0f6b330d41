/*
 * The session: its nodes, how they are reached, and which of them a new thread gets.
 * Not for threads themselves nor for pages.
 */
#ifndef MONITOR_SESSION_H
#define MONITOR_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

struct channel;

#define SESSION_ADDRESS_BYTES 128
#define SESSION_ARGUMENTS_MAX 40

enum session_place { SESSION_SPREAD, SESSION_PACK, SESSION_HOME };

/* What the command line decides, handed down by the loader. */
struct session_configuration {
    unsigned local;      /* nodes on this machine, home included; 1: none besides home */
    unsigned peer_count; /* machines in `peers`, besides home */
    char peers[NODES_MAX][SESSION_ADDRESS_BYTES];
    enum session_place place;
    enum wire_compress compress;
    bool no_ahead; /* no page is asked for before it is touched */
    bool pin, patch, follow, balance, best_effort, insecure, verbose;
    bool executed; /* by a program of a session, not by the user */
    bool filtered; /* by one that had seccomp filters, which judge this one as well */
    bool statistics;
    char statistics_file[256]; /* empty: stderr */
    char trace_file[256];      /* empty: none */
    char key_file[256];        /* empty: none */
    int timeout_ms;
    char program[64];
    /* Our options once more as arguments, for programs that the program executes. */
    char *arguments[SESSION_ARGUMENTS_MAX];
    size_t argument_count;
};

/* Reads what is needed and asks every peer whether it can take part; ends with a message when not. Before the program.
 */
void session_prepare(const struct session_configuration *configuration);
const struct session_configuration *session_configuration(void);
unsigned session_node_count(void);
/* True when there are peers and this process may use them. */
bool session_shared(void);
/* True once a peer is in use. */
bool session_distributed(void);
/* True once none of the peers could be brought into use: home has the processors of all nodes of this machine. */
bool session_alone(void);

/* The node for a new thread; counted there until session_thread_ended. Brings peers into use when it chooses one. */
unsigned session_place_thread(uint64_t allowed);
void session_thread_ended(unsigned node);
void session_thread_moved(unsigned from, unsigned to);
/* Binds the calling thread to the processors of home. */
void session_pin_home(void);
/* Gives the calling thread back what it could use before: for a process that leaves the session, or executes. */
void session_unpin(void);
/* Brings the peers into use if they are not: connects, starts the pager, registers memory. False when `node` is none
 * that a thread can go to: the user has been told why, and the program goes on without it. */
bool session_use(unsigned node);
/* The nodes that a thread can go to, a bit each, as far as has been tried. */
uint64_t session_nodes_usable(void);
/* A call that the kernel refuses (-EINVAL) to a process with several threads: without our own, where the program has
 * one and peers are not in use. */
long session_call_alone(uint64_t number, const uint64_t a[6]);
/* The user may have no more processes (EAGAIN): gives up what the session can do without, its thread that serves
 * spanctl. True when something was given up, and the call is worth making again. */
bool session_make_room(void);
/* The kernel's number of the session's processor `number`, -1: it is another machine's. */
int session_processor(unsigned number);
/* New threads keep away from `node` for some seconds, longer each time. */
void session_avoid(unsigned node);
/* True when peers are in use; none are brought into use until session_use_release. */
bool session_use_hold(void);
void session_use_release(void);

/* A thread channel to `node`, from the pool or new; NULL with a line on stderr. */
struct channel *session_channel_take(unsigned node);
void session_channel_give(unsigned node, struct channel *channel);

/*
 * A node cannot be reached any more: ends the session with a line. When the program is ending anyway (its peers have
 * been told), just waits for that.
 */
_Noreturn void session_lost(unsigned node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The program ends: its other threads here stop, peers are told and waited for, statistics. */
void session_end(void);
bool session_is_ending(void);
/* Between the program's instructions: stays here for good when the program is ending. */
void session_stop_at_end(void);
/* Across an execve of this process: the processes of its local peers as text (false: there are none), and in the next
 * program, before it runs, waits for them. They end with their connections; the kernel would tell the program of them.
 */
bool session_peers_tell(char *text, size_t size);
void session_peers_told(const char *text);
/* In the child of a fork: one node, nothing connected. */
void session_fork_child(void);
/* What the program is called, for messages. */
void session_name_program(const char *name);
/* Serves spanctl. */
void session_control_start(void);

#endif
