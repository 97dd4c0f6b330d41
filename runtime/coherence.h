/*
 * The coherence protocol: a directory at home and a cache on every node, as one pure state machine over callbacks.
 * Not for descriptors, threads or system calls: runtime/pager.c binds it to userfaultfd and channels, the tests to an
 * in-memory network. Single-threaded: the engine loop calls it, nobody else.
 *
 * States, messages, races and why they are resolved as they are: docs/coherence.md.
 */
#ifndef RUNTIME_COHERENCE_H
#define RUNTIME_COHERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

struct coherence;

/* What the protocol asks of its node. `page` is address >> PAGE_SHIFT. None may block on the network. */
struct coherence_operations {
    /* Queues a message to `node`; `data` is PAGE_BYTES or NULL. For WIRE_RANGE_* the message is a struct wire_range,
     * which has the same size. */
    void (*send)(void *context, unsigned node, enum wire_type type, const struct wire_page *message, const void *data);
    /* Local page: make it read-only; make it writable and wake; both keep the contents. 0, or -ENOENT not mapped.
     * `protect` may make others read-only with it: see coherence_fault_protected. */
    int (*protect)(void *context, uint64_t page);
    int (*unprotect)(void *context, uint64_t page);
    /* Puts contents (NULL: zero) in place atomically, writable or not, and wakes. 0, -EEXIST, -ENOENT. A peer may put
     * contents in place later, before any other operation: see coherence_install_failed. */
    int (*install)(void *context, uint64_t page, const void *data, bool writable);
    /* Wakes threads that wait for the page so that they try again. What `install` has put off is in place then. */
    void (*wake)(void *context, uint64_t page);
    /* Copies the contents out. With `populate` a page never touched becomes a zero page first, read-only.
     * 1 zero, 0 data, -ENOENT. */
    int (*read)(void *context, uint64_t page, void *data, bool populate);
    /* Removes the page, before the next message leaves: from then on an access faults. The page has been protected
     * before, so it no longer changes. A page that is not mapped is gone already. */
    void (*discard)(void *context, uint64_t page);
    /* For a page that may be written until then: copies the contents out and removes it; no write is lost.
     * A page never touched is zero. 1 zero, 0 data, -ENOENT. Without `force` -EBUSY when the kernel may be about to
     * write to the page for a device or another process: then it had better stay. */
    int (*take)(void *context, uint64_t page, void *data, bool force);
    /* Makes the page read-only, as protect does, but -EBUSY when the kernel may be about to write to it for another
     * process or a device: then nothing has changed. Home only. */
    int (*seal)(void *context, uint64_t page);
    uint64_t (*now_ns)(void *context);
    /* A range message has to be carried out on this peer: unmap (after which no page of the range is there) or protect,
     * and wake. Peer only. */
    void (*range)(void *context, enum wire_type type, const struct wire_range *range);
    /* A job of coherence_drop, coherence_protect, coherence_recall or coherence_freeze is done. Home only. */
    void (*done)(void *context, void *job);
};

struct coherence_counters {
    uint64_t faults_read, faults_write, faults_upgrade;
    uint64_t pages_in, pages_out, pages_zero, recalls;
};

/* `node` is HOME_NODE for the directory. `hold_ns`: how long a page granted here stays, 0: default,
 * see docs/coherence.md. Operations must not call back into the coherence that called them, but `done` may, and any may
 * say coherence_install_failed. */
struct coherence *coherence_create(unsigned node, const struct coherence_operations *operations, void *context,
                                   uint64_t hold_ns);
void coherence_destroy(struct coherence *coherence);

/* Home: a peer takes part from now on, or is gone (its pages whose only copy died are counted and returned). */
void coherence_node_add(struct coherence *coherence, unsigned node);
size_t coherence_node_lost(struct coherence *coherence, unsigned node);
/* Home: how many pages are on that peer and nowhere else. */
size_t coherence_node_sole(const struct coherence *coherence, unsigned node);

/* A local access needs the page; `write` for write permission. The answer is an install, unprotect or wake, in time. */
void coherence_fault(struct coherence *coherence, uint64_t page, bool write);
/* A write found the page there, but read-only: nothing has to be asked for when the page is this node's own. */
void coherence_fault_protected(struct coherence *coherence, uint64_t page);
/* Home: a process that is not the program needs the page to write to it. The kernel then gets hold of the page first
 * and writes to it later, whatever has been done to its protection meanwhile. */
void coherence_fault_foreign(struct coherence *coherence, uint64_t page);
/* Home: from now on the kernel may be about to write to any page, for a device. */
void coherence_guard_all(struct coherence *coherence);
/* A thread that used the page here leaves for `node`: a page that is this node's alone goes there too, unasked. A
 * peer's goes home, wherever the thread goes. */
void coherence_move(struct coherence *coherence, uint64_t page, unsigned node);
/* Peer: operations.install said yes to contents and could not keep its word, for the page is not mapped any more.
 * Before anything else happens to the page. */
void coherence_install_failed(struct coherence *coherence, uint64_t page, const void *data);
/* A frame from `from` with `bytes` of payload, which may be malformed: 0, or -EPROTO (the connection must end). */
int coherence_message(struct coherence *coherence, unsigned from, enum wire_type type, const void *payload,
                      size_t bytes);
/* Carries out what was held back until now. Returns ns until the next call is due, UINT64_MAX when nothing waits. */
uint64_t coherence_tick(struct coherence *coherence);

/*
 * Jobs, home only; `job` is handed to operations.done, perhaps before these return. Ranges in pages, end exclusive.
 * drop: peers in `nodes` (bit mask) forget the range, their contents are lost, home holds it all, untouched.
 * protect: peers in `nodes` change the protection of what they have mapped.
 * recall: all pages of the range come home, modified; peers in `nodes` forget the range.
 * freeze: every page has a readable current copy at home and no peer can write until thaw.
 */
void coherence_drop(struct coherence *coherence, uint64_t start, uint64_t end, uint64_t nodes, void *job);
void coherence_protect(struct coherence *coherence, uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes,
                       void *job);
void coherence_recall(struct coherence *coherence, uint64_t start, uint64_t end, uint64_t nodes, void *job);
void coherence_freeze(struct coherence *coherence, void *job);
void coherence_thaw(struct coherence *coherence);

void coherence_counters_read(const struct coherence *coherence, struct coherence_counters *out);
/* For tests and the watchdog: state and epoch of the local page; the oldest request without an answer. */
enum page_state coherence_state(const struct coherence *coherence, uint64_t page, uint32_t *epoch);
bool coherence_oldest_wait(const struct coherence *coherence, uint64_t *page, uint64_t *since_ns, unsigned *waits_for);
/* Checks every invariant that one node can see; aborts with a message when one fails. */
void coherence_check(const struct coherence *coherence);

#endif
