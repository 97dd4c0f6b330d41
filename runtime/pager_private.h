/*
 * What the files of the pager share: the userfaultfd operations, the loop's state, jobs, and file
 * pages. Not for anyone else: runtime/pager.h is the interface.
 */
#ifndef RUNTIME_PAGER_PRIVATE_H
#define RUNTIME_PAGER_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/coherence.h"
#include "runtime/lock.h"
#include "runtime/pager.h"

#define PAGER_STRING_(x) #x
#define PAGER_STRING(x)  PAGER_STRING_(x)
/* Stays on in release builds: what it guards would corrupt the program. */
#define PAGER_ASSERT(condition)                                                                                        \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            pager_fatal("assertion failed: %s at " __FILE__ ":" PAGER_STRING(__LINE__), #condition);                   \
    } while (0)

#define PAGER_WATCHDOG_NS 10000000000ull

/* One line `ld-span: pager: ...` on stderr; pager_fatal then ends the process. */
void pager_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void pager_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t pager_now_ns(void);

/* ---- userfault.c: pages of this process by system calls -------------------------------------- */

/* Where pages are moved to that are taken, one for each kind of memory: executable (bit 0), locked (bit 1). */
#define USERFAULT_PLACES 4u
struct userfault_place {
    uint8_t *pages; /* NULL: not made yet */
    unsigned used;
    bool refused; /* it could not be made */
};

struct userfault {
    int fd;     /* userfaultfd, non-blocking */
    int memory; /* /proc/self/mem: reads without waiting for a page that is missing, whatever its
                   protection */
    int map;    /* /proc/self/pagemap: which pages are protected; -1: not to be had */
    bool takes; /* the kernel can move pages */
    struct userfault_place places[USERFAULT_PLACES];
};

struct userfault_event {
    uint64_t page;
    uint32_t thread; /* its kernel's number, 0: not told */
    bool write;
    bool missing; /* not there at all, rather than write-protected */
};

#define USERFAULT_EVENTS_MAX 32

int userfault_open(struct userfault *userfault, int fd_floor, char why[WIRE_MESSAGE_BYTES]);
void userfault_close(struct userfault *userfault);
/* Addresses and bytes, page aligned. 0 or negative errno. Any thread. */
int userfault_register(const struct userfault *userfault, uint64_t start, uint64_t bytes, bool write_protect);
/* Events that wait, at most USERFAULT_EVENTS_MAX; never blocks. */
int userfault_events(const struct userfault *userfault, struct userfault_event events[USERFAULT_EVENTS_MAX]);

/* As the operations of the same names in coherence.h. None can wait for the userfaultfd itself. */
int userfault_protect(const struct userfault *userfault, uint64_t page);
int userfault_unprotect(const struct userfault *userfault, uint64_t page);
/* `count` pages in one piece of registered memory; those that are not there do not matter. 0, or -ENOENT. */
int userfault_protect_run(const struct userfault *userfault, uint64_t page, uint64_t count);
int userfault_unprotect_run(const struct userfault *userfault, uint64_t page, uint64_t count);
/* What the kernel says of `count` pages from `page` on: of how many it did, 0 to `count`. */
#define USERFAULT_PROTECTIONS_MAX 64u
enum userfault_protection { USERFAULT_ABSENT, USERFAULT_WRITABLE, USERFAULT_PROTECTED };
unsigned userfault_protections(const struct userfault *userfault, uint64_t page, enum userfault_protection *are,
                               unsigned count);
int userfault_install(const struct userfault *userfault, uint64_t page, const void *data, bool writable);
/* Pages in any order; those that are not mapped do not matter. */
#define USERFAULT_DISCARDS_MAX 64u
void userfault_discard(const struct userfault *userfault, const uint64_t *pages, unsigned count);
/* A page populated by this is write-protected, atomically. */
int userfault_read(const struct userfault *userfault, uint64_t page, void *data, bool populate);
void userfault_wake(const struct userfault *userfault, uint64_t page, uint64_t count);
bool userfault_is_zero(const void *data); /* PAGE_BYTES of it */
/* Installs `count` pages where there is none yet, writable, and wakes. 0, or -ENOENT when some have
 * no mapping. */
int userfault_install_run(const struct userfault *userfault, uint64_t page, const void *data, uint32_t count);
/* Installs pages up to the first that cannot be, and wakes: how many, 0 to `count`. */
uint32_t userfault_install_pages(const struct userfault *userfault, uint64_t page, const void *data, uint32_t count,
                                 bool writable);
/* Makes zero pages, writable, from `page` on, up to the first page that is there or `count`, and
 * wakes nobody. */
#define USERFAULT_ZERO_RUN_MAX 64u
void userfault_zero_run(const struct userfault *userfault, uint64_t page, uint64_t count);
/* Pages that could be read from `page` on, 0 to `count`. */
uint32_t userfault_read_run(const struct userfault *userfault, uint64_t page, void *data, uint32_t count);

/* ---- userfault_take.c: pages that leave ------------------------------------------------------ */

/* Asked of the kernel when the descriptor is opened; userfault_take_open when it agreed. */
uint64_t userfault_take_feature(void);
void userfault_take_open(struct userfault *userfault);
void userfault_take_close(struct userfault *userfault);
/* As the operations of the same names in coherence.h. The loop's thread. */
int userfault_take(struct userfault *userfault, uint64_t page, void *data, bool force);
int userfault_seal(struct userfault *userfault, uint64_t page);

/* ---- pager_job.c: what other threads ask of the loop ----------------------------------------- */

enum pager_job_type {
    PAGER_JOB_ADD_NODE,
    PAGER_JOB_DROP,
    PAGER_JOB_PROTECT,
    PAGER_JOB_RECALL,
    PAGER_JOB_FREEZE,
    PAGER_JOB_THAW,
    PAGER_JOB_INTERRUPT,
    PAGER_JOB_GUARD,
    PAGER_JOB_WRITABLE,
    PAGER_JOB_WANT,
    PAGER_JOB_MOVE,
    PAGER_JOB_STATISTICS,
    PAGER_JOB_QUESTION,
};

struct pager_job {
    struct pager_job *next;
    enum pager_job_type type;
    _Atomic uint32_t done; /* PAGER_JOB_PENDING .. */
    unsigned node;
    uint32_t protection, thread;
    uint64_t start, end; /* addresses */
    uint64_t nodes;
    struct channel *channel;
    struct wire_statistics *statistics; /* NODES_MAX of them */
    uint64_t deadline_ns;
    uint64_t pages[PAGER_WANT_MAX]; /* PAGER_JOB_WANT, PAGER_JOB_MOVE: addresses */
    uint64_t writes;                /* of which are wanted for writing, as bits */
    unsigned page_count;
    bool quit;
    uint32_t what, number; /* PAGER_JOB_QUESTION */
    void *answer;
    size_t answer_room;
    ssize_t answer_bytes; /* negative: none has come */
};

struct pager_queue {
    _Atomic(struct pager_job *) posted; /* newest first */
    _Atomic uint32_t asleep;            /* the loop sleeps, or is about to: wake it by `event` */
    int event;                          /* eventfd */
};

/* Posts and waits until the loop has called job_finish. Any thread but the loop. */
void pager_job_wait(struct pager_queue *queue, struct pager_job *job);
/* Posts a job from malloc and returns; the loop frees it. */
void pager_job_post(struct pager_queue *queue, struct pager_job *job);
/* Loop: all that was posted, oldest first. */
struct pager_job *pager_job_take(struct pager_queue *queue);
/* Loop: the job may be gone when this returns. */
void pager_job_finish(struct pager_job *job);

/* ---- pager_ranges.c: sets of addresses ------------------------------------------------------- */

struct pager_range {
    uint64_t start, end;
};

/* Sorted and disjoint; all zero is empty. Any thread, a leaf lock. */
struct pager_ranges {
    struct lock lock;
    struct pager_range *ranges;
    size_t count, capacity;
};

/* 0 or -ENOMEM. */
int pager_ranges_add(struct pager_ranges *ranges, uint64_t start, uint64_t end);
void pager_ranges_remove(struct pager_ranges *ranges, uint64_t start, uint64_t end);
/* The end of the range that holds `address`, 0 when there is none. */
uint64_t pager_ranges_end(struct pager_ranges *ranges, uint64_t address);

/* ---- pager_file.c: pages of read-only file mappings ------------------------------------------ */

/* The peer's list of ranges that mirror file mappings; addresses. Any thread, a leaf lock. */
int pager_file_add(uint64_t start, uint64_t end);
void pager_file_remove(uint64_t start, uint64_t end);
/* Forgets all, without the lock: a fork child. */
void pager_file_forget(void);

struct pager;
/* Peer, loop: true when the page belongs to a file range; then it is being fetched. */
bool pager_file_fault(struct pager *pager, uint64_t page);
/* Peer, loop: WIRE_FILE_GRANT. 0 or -EPROTO. */
int pager_file_grant(struct pager *pager, const void *payload, size_t bytes);
/* Peer, loop: a range is dropped: answers on their way for it must not be installed. */
void pager_file_dropped(uint64_t start, uint64_t end);
/* Home, loop: WIRE_FILE_REQUEST. 0 or -EPROTO. */
int pager_file_request(struct pager *pager, unsigned from, const void *payload, size_t bytes);
/* Peer, loop: the oldest request without an answer. */
bool pager_file_oldest_wait(uint64_t *page, uint64_t *since_ns);

/* ---- pager_ahead.c: what will be wanted next ------------------------------------------------- */

/* Peer: coherent memory that is mapped here; addresses. Any thread. */
int pager_ahead_add(uint64_t start, uint64_t end);
void pager_ahead_remove(uint64_t start, uint64_t end);
void pager_ahead_forget(void);
/* Loop: before and after the fault is given to coherence. */
void pager_ahead_before(struct pager *pager, const struct userfault_event *event);
void pager_ahead_after(struct pager *pager, const struct userfault_event *event);
/* Peer, loop: a page has come, with contents or as zeros. */
void pager_ahead_came(uint64_t page, bool zero);
/* Loop: asks for a page that nobody waits for yet. */
void pager_ahead_want(struct pager *pager, uint64_t page, bool write);

/* ---- pager_recent.c: faults of the last moment ----------------------------------------------- */

/* Loop: a fault on coherent memory. */
void pager_recent_add(const struct userfault_event *event);
void pager_recent_forget(void);

/* ---- pager_window.c: many pages at once ------------------------------------------------------ */

/* As the operations of the same names in coherence.h. */
int pager_window_protect(struct pager *pager, uint64_t page);
int pager_window_read(struct pager *pager, uint64_t page, void *data, bool populate);
/* A thread writes to a page that is this node's own and was protected with others; coherence is told next. */
void pager_window_lift(struct pager *pager, uint64_t page);
/* A turn begins, or protection has changed. */
void pager_window_forget(void);
/* Memory has been mapped, and nobody else may know of it yet. Any thread. */
void pager_window_mapped(void);

/* ---- pager_install.c: pages that have come ---------------------------------------------------- */

/* Peer: as the operation `install`, some time before the turn ends: `pager->installs_later` says that nothing else is
 * done to any page before. What fails then is told to coherence. */
void pager_install_later(struct pager *pager, uint64_t page, const void *data, bool writable);
void pager_install_now(struct pager *pager);

/* ---- pager_foreign.c: faults of other processes ---------------------------------------------- */

/* Loop: does that thread work with other memory than ours? By its kernel's number, 0: not told. */
bool pager_foreign(uint32_t thread);
void pager_foreign_forget(void);

/* ---- pager_trace.c: what the directory was asked; home's loop only, nothing unless it was started - */

bool pager_trace_running(void);
void pager_trace_request(unsigned node, uint64_t page, bool write);
/* `content`: d data, z zero, p permission alone, g gone. */
void pager_trace_grant(unsigned node, uint64_t page, char content);
/* `kind`: d a drop, b brought home; `count` pages. */
void pager_trace_range(char kind, uint64_t nodes, uint64_t page, uint64_t count);
void pager_trace_forget(void);

/* ---- pager.c: the loop; pager_api.c starts it ------------------------------------------------ */

struct pager_node {
    struct channel *channel;    /* NULL: not in the session */
    bool ready;                 /* frames may have come */
    bool unsent;                /* something may wait in the channel's queue */
    struct pager_link {         /* pager_pack.c */
        uint64_t rate, rate_ns; /* bytes a second, 0: not known; when that was found */
        uint64_t looked_ns;
        bool backlog; /* since when something waits, and what had been acknowledged then */
        uint64_t since_ns, acknowledged;
    } link;
    bool quitting; /* told to end: its channel may close without harm */
    int error;     /* the connection is to be ended for this: negative errno */
};

/* Times of faults that wait, by a hash of the page; a collision loses a sample, nothing else. */
#define PAGER_CLOCKS 256
struct pager_clock {
    uint64_t page, since_ns;
};

struct pager {
    struct pager_configuration configuration;
    struct userfault userfault;
    struct pager_queue queue;
    struct coherence *coherence;
    struct pager_node nodes[NODES_MAX];
    unsigned node_count;          /* channels in use */
    struct pager_job *statistics; /* waiting for answers, linked by next */
    struct pager_job *questions;  /* the same */
    uint32_t question_number;
    struct pager_clock clocks[PAGER_CLOCKS];
    uint64_t tick_due_ns; /* when coherence_tick wants to be called again */
    uint64_t warn_ns;     /* last line of the watchdog */
    uint64_t spin_ns;     /* how long to poll before sleeping, learned */
    uint64_t idle_since_ns;
    uint64_t yield_ns;               /* the shortest yield so far: nobody else ran */
    unsigned penalty, penalty_left;  /* pauses to sleep through, and how many of them are left */
    bool realtime, realtime_refused; /* the loop thread is in a real-time class; may not be */
    bool shared;                     /* in this pause a yield ran somebody else */
    bool ready;                      /* the userfaultfd may have events */
    bool installs_later;             /* a frame that grants a page is being handled */
    /* Pages that are lost but still there, until the end of the turn at the latest: before anybody is told. Removing
     * many at once costs little more than removing one. */
    uint64_t discards[USERFAULT_DISCARDS_MAX];
    unsigned discard_count;
    uint64_t pages_file, bytes_in, bytes_out, bytes_saved;
    uint64_t fault_latency[WIRE_LATENCY_BUCKETS];
    struct packer *packer; /* NULL: none could be made */
};

extern const struct coherence_operations pager_operations;
/* The loop's thread; `pager` is a struct pager that is ready. Never returns. */
void *pager_loop(void *pager);

/* Loop: queues a frame to `node`. A connection that fails is ended at the next turn. */
void pager_send(struct pager *pager, unsigned node, enum wire_type type, const void *head, size_t head_bytes,
                const void *data, size_t data_bytes);
/* Loop: coherence_fault, recorded when home asks for something. */
void pager_fault(struct pager *pager, uint64_t page, bool write);
/* Loop: the fault on `page` has its answer. */
void pager_clock_stop(struct pager *pager, uint64_t page);
/* Since when the page is waited for, 0: it is not. */
uint64_t pager_clock_since(struct pager *pager, uint64_t page);

/* ---- pager_wait.c: between turns; the loop only ---------------------------------------------- */

void pager_wait_start(struct pager *pager);
/* Something had come: learns how long that took. */
void pager_wait_active(struct pager *pager, uint64_t now_ns);
/* Yields once and marks everything as ready to be looked at. False: it is time to sleep. */
bool pager_wait_spin(struct pager *pager, uint64_t now_ns);
/* Sleeps until something is ready or due, and marks what is ready. */
void pager_wait_sleep(struct pager *pager, uint64_t now_ns);

/* ---- pager_pack.c: the loop only ------------------------------------------------------------- */

/* 0 or -ENOMEM. */
int pager_pack_open(struct pager *pager);
void pager_pack_close(struct pager *pager);
/* The payload of a frame to `node` with WIRE_FRAME_PACKED: its bytes, and where it is until the next call in `*out`. 0:
 * it is not worth while. */
size_t pager_pack(struct pager *pager, unsigned node, const void *head, size_t head_bytes, const void *data,
                  size_t data_bytes, const void **out);
/* Makes a frame that has come what it was before it was packed, until the next call. 0, -EPROTO, -ENOMEM. */
int pager_unpack(struct pager *pager, struct wire_frame *frame, const void **payload);

/* ---- pager_statistics.c ---------------------------------------------------------------------- */

/* Loop: this node's figures. */
void pager_statistics_fill(struct pager *pager, struct wire_statistics *statistics);
/* Home, loop: asks the peers, takes an answer, gives up on a node, and finishes jobs that are
 * complete or late. */
void pager_statistics_start(struct pager *pager, struct pager_job *job);
int pager_statistics_answer(struct pager *pager, unsigned from, const void *payload, size_t bytes);
void pager_statistics_node_lost(struct pager *pager, unsigned node);
/* Returns when the next job is late, UINT64_MAX when there is none. */
uint64_t pager_statistics_expire(struct pager *pager, uint64_t now_ns);

/* ---- pager_question.c ------------------------------------------------------------------------ */

/* Home, loop: asks, takes an answer, gives up on a node and on jobs that are late, as for statistics. */
void pager_question_start(struct pager *pager, struct pager_job *job);
int pager_question_answered(struct pager *pager, unsigned from, const void *payload, size_t bytes);
void pager_question_node_lost(struct pager *pager, unsigned node);
uint64_t pager_question_expire(struct pager *pager, uint64_t now_ns);
/* Peer, loop: it has been asked. */
int pager_question_asked(struct pager *pager, const void *payload, size_t bytes);

#endif
