/*
 * The pager: one engine loop per node, binding the coherence protocol to userfaultfd and to the engine channels.
 * Not for what addresses mean (monitor/space.c) nor for threads (monitor/thread.c): both are reached by callbacks.
 *
 * The loop thread never blocks on the network, never takes a lock of a layer above, and never touches span memory by
 * load or store. Functions below are called by any other thread in the monitor domain; those that say "waits" must be
 * called without a lock that a callback needs, and never by the loop.
 */
#ifndef RUNTIME_PAGER_H
#define RUNTIME_PAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "runtime/channel.h"
#include "runtime/wire.h"

struct pager_callbacks {
    /* Peer, loop thread: carry out a range message on this node's mappings (munmap or mprotect). May take the lock of
     * the peer's own map, whose holders never wait for the network. */
    void (*range)(enum wire_type type, const struct wire_range *range);
    /* Peer, loop thread: WIRE_INTERRUPT arrived. */
    void (*interrupt)(uint32_t thread);
    /* Peer, loop thread: WIRE_QUIT or WIRE_STATISTICS_REQUEST: fill in what the pager does not know (calls, threads).
     */
    void (*statistics)(struct wire_statistics *statistics);
    /* Loop thread: pager_question asked `what`; the bytes of `answer` that are filled. NULL: nothing is answered. */
    size_t (*question)(uint32_t what, void *answer, size_t room);
    /* Home, loop thread: the engine channel to `node` ended, at whose end pager_statistics has not asked; `pages_lost`
     * pages had their only copy there, and become zero when this returns.
     * Peer: home is gone (node 0). Does not return to a session that could go on with wrong memory. */
    void (*node_lost)(unsigned node, size_t pages_lost);
};

struct pager_configuration {
    unsigned node;
    enum wire_compress compress;
    bool no_ahead;       /* asks for no page before it is touched */
    uint64_t nodes_here; /* nodes on this machine, a bit each: nothing is packed for them by WIRE_COMPRESS_AUTO */
    const struct pager_callbacks *callbacks;
    int fd_floor;     /* descriptors are moved here or above; 0: as they come */
    uint64_t hold_ns; /* 0: default */
    const char *cpus; /* reserved, NULL */
};

/* 0, or a negative errno with a line for the user in `why` (no permission for userfaultfd, too old a kernel). */
int pager_probe(char why[WIRE_MESSAGE_BYTES]);
int pager_start(const struct pager_configuration *configuration, char why[WIRE_MESSAGE_BYTES]);
bool pager_running(void);

/* Gives the loop the engine channel to `node` (peer: node 0). Ownership passes. */
int pager_add_node(unsigned node, struct channel *channel);

/* Puts a mapped range of private anonymous memory under coherence: MISSING and WP. Any thread. 0 or negative errno. */
int pager_register(uint64_t start, uint64_t bytes);
/* Peer: as pager_register, for a range that mirrors a read-only file mapping at home: fetched, never recalled. */
int pager_register_file(uint64_t start, uint64_t bytes);

/* Home, these wait until the peers in `nodes` have acknowledged. Addresses, page aligned. See coherence.h. */
void pager_drop(uint64_t start, uint64_t end, uint64_t nodes);
void pager_protect(uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes);
void pager_recall(uint64_t start, uint64_t end, uint64_t nodes);
void pager_freeze(void);
void pager_thaw(void);
/* Home: from now on the program has means to let devices write to its memory while it goes on (AIO, io_uring): what the
 * kernel holds is then neither shared nor given away before the kernel lets go of it. Also before pager_start. */
void pager_guard(void);

/* Any node: asks for the pages of addresses that will be touched soon, all at once; bit i of `writes`: address i will
 * be written. Does not wait, and does nothing for memory that is not mapped here. */
#define PAGER_WANT_MAX 16u
void pager_want(const uint64_t *addresses, unsigned count, uint64_t writes);
/* Home: asks for the page of an address as a write to it would, for a write that would not. Does not wait for it. */
void pager_make_writable(uint64_t address);
/* A thread leaves for `node`: the pages of the addresses go there too, as far as they are this node's alone. Does not
 * wait. */
void pager_move(const uint64_t *addresses, unsigned count, unsigned node);
/* Addresses of at most `most` pages that were last faulted on by the thread that this kernel knows as `tid`, after the
 * call of pager_recent_now that returned `since`; the latest first: their number. A guess. */
unsigned pager_recent(pid_t tid, uint32_t since, uint64_t *addresses, unsigned most);
uint32_t pager_recent_now(void);
/* Home: asks `node` to interrupt a thread. Does not wait. */
void pager_interrupt(unsigned node, uint32_t thread);
/* Home, waits at most `timeout_ms`: statistics of every node, own included; `quit` ends the peers' sessions. */
void pager_statistics(struct wire_statistics statistics[NODES_MAX], bool quit, int timeout_ms);

/* Home, waits at most `timeout_ms`: has the callback of `node`, home included, answer `what`. The bytes of its answer
 * (at most `room`, and what fits in one frame), or -ETIMEDOUT: none came, or there is no such node. */
ssize_t pager_question(unsigned node, uint32_t what, void *answer, size_t room, int timeout_ms);
/* Loop thread, by callbacks: since when (pager_now_ns's clock) somebody waits for the page of the address, 0: nobody.
 */
uint64_t pager_waits_since(uint64_t address);

/* Home, before pager_start: from then on what its directory is asked is recorded, as docs/simulation.md tells. */
int pager_trace_start(void);
/* Home: writes what was recorded until now to `path`. 0 or negative errno. */
int pager_trace_write(const char *path, unsigned node_count);

/* In the child of a fork: forget the loop, its descriptors and all state; nothing is registered any more. */
void pager_forget(void);

#endif
