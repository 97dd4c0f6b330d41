/*
 * What the files of the coherence protocol share: the page table, requests, jobs and the state
 * machine itself. Not for anybody else; the interface is runtime/coherence.h, the protocol is told
 * in docs/coherence.md.
 */
#ifndef RUNTIME_COHERENCE_PRIVATE_H
#define RUNTIME_COHERENCE_PRIVATE_H

#include "runtime/coherence.h"

#define NODE_BIT(node) (1ull << (node))
#define HOME_BIT       NODE_BIT(HOME_NODE)

#define PAGE_FIRST (SPAN_ZONE_START >> PAGE_SHIFT)
#define PAGE_END   (SPAN_ZONE_END >> PAGE_SHIFT)

#define BLOCK_SHIFT   9 /* pages in a block of 2 MiB */
#define BLOCK_PAGES   (1u << BLOCK_SHIFT)
#define BRANCH_SHIFT  12 /* blocks in a branch of 8 GiB */
#define BRANCH_BLOCKS (1u << BRANCH_SHIFT)
#define BRANCH_COUNT  (PAGE_END >> (BLOCK_SHIFT + BRANCH_SHIFT))

#define EPOCH_FIRST 1u

/* Requests of one node that wait at home: far more than it has threads. A node that sends more is
 * not one of ours. */
#define REQUESTS_PER_NODE_MAX 65536u
/* Pages that a recall or freeze job has under way: what they bring home must fit into the channels'
 * queues. */
#define JOB_PAGES_MAX 128u

/* After so much time and so many turns of the loop no fault is under way that is older than a range
 * message. */
#define DROPPED_NS    1000000000u
#define DROPPED_TICKS 1000u

enum coherence_page_flags {
    PAGE_BUSY = 1,      /* home: the first request of the queue waits for answers to recalls */
    PAGE_HELD = 2,      /* stamp says when the copy came; without it, when it was taken */
    PAGE_EARLY = 4,     /* taken: somebody waited for it while it was held */
    PAGE_MIGRATORY = 8, /* home: who reads it writes it next, so a reader gets it modified */
    PAGE_PROBED = 16,   /* home: migratory, but the last reader got it shared, to see whether it writes */
    PAGE_PUSHED = 32,   /* home: the holder was granted it unasked, and may have asked for it meanwhile */
    PAGE_FOREIGN = 64,  /* home: another process writes to it: to be sealed before it is granted */
};

/* One page as this node sees it; at home that is the directory entry and home's own copy in one. */
struct coherence_page {
    uint64_t holders; /* home: bit mask of the nodes that have a copy */
    uint32_t epoch;
    uint32_t queue; /* number of the first request for the page, 0: none */
    uint32_t stamp; /* hold clock when the copy came or went */
    uint8_t state;  /* peer: of its copy. Home: of the copies: PAGE_SHARED, or what the only holder
                       was granted */
    uint8_t level;  /* the hold time is doubled so many times */
    uint8_t flags;  /* enum coherence_page_flags */
    uint8_t writer; /* home: the node that was granted it exclusive or modified last */
};
_Static_assert(sizeof(struct coherence_page) == 24, "a page costs 24 bytes");

struct coherence_block {
    uint64_t first; /* page number */
    struct coherence_page pages[BLOCK_PAGES];
};

struct coherence_branch {
    uint32_t used;
    struct coherence_block *blocks[BRANCH_BLOCKS];
};

enum coherence_kind {
    KIND_REQUEST = 1, /* permission wanted: home, somebody's; peer, its own */
    KIND_RECALL = 2,  /* peer: a recall that is held back */
};

enum coherence_content {
    CONTENT_NONE = 0,
    CONTENT_ZERO = 1,
    CONTENT_DATA = 2,
    CONTENT_GONE = 3, /* not mapped */
    CONTENT_BUSY = 4, /* home's copy had better stay */
};

struct coherence_request {
    uint64_t page;
    uint64_t since_ns;
    uint64_t held_ns;                                          /* home: first found held by the kernel then, 0: not */
    uint64_t pending;                                          /* home: nodes whose answer to a recall is awaited */
    struct coherence_request *older, *newer;                   /* all requests by age */
    struct coherence_request *delayed_next, *delayed_previous; /* those that wait for a hold time */
    struct coherence_job *job;                                 /* home: asked for by this job */
    uint8_t *data;     /* home: contents that came while other answers were awaited */
    uint32_t number;   /* of this request, never 0 */
    uint32_t next;     /* in the queue of the page; free list */
    uint8_t kind;      /* enum coherence_kind */
    uint8_t node;      /* home: who asks */
    uint8_t state;     /* wanted; recall: to fall back to */
    uint8_t content;   /* enum coherence_content: what has come */
    uint8_t source;    /* home: the node that was asked for contents, NODES_MAX: none */
    bool upgrade_next; /* a write fault came while read permission was on its way */
    bool delayed;
    bool early;     /* it had to wait for a hold time */
    bool with_data; /* recall: contents are wanted */
    bool promoted;  /* home: it was for reading, of a migratory page */
};

#define CHUNK_SHIFT    6
#define CHUNK_REQUESTS (1u << CHUNK_SHIFT)

struct coherence_chunk {
    struct coherence_request requests[CHUNK_REQUESTS];
};

enum coherence_job_type { JOB_DROP = 1, JOB_PROTECT, JOB_RECALL, JOB_FREEZE };

enum coherence_job_phase {
    PHASE_START,
    PHASE_DRAIN,   /* waits until no page of the range is busy */
    PHASE_COLLECT, /* brings pages home */
    PHASE_SEND,
    PHASE_WAIT, /* for the peers to be done */
};

struct coherence_job {
    struct coherence_job *next;
    void *handle;
    uint64_t start, end; /* pages */
    uint64_t nodes, waiting;
    uint64_t cursor; /* next page to look at */
    uint64_t since_ns;
    uint32_t in_flight;
    uint32_t protection;
    uint8_t type;  /* enum coherence_job_type */
    uint8_t phase; /* enum coherence_job_phase */
};

struct coherence {
    struct coherence_operations operations;
    void *context;
    uint64_t hold_ns;
    uint64_t nodes; /* home: peers that take part */
    unsigned node;
    bool frozen;
    bool guarded;                        /* home: every page is sealed before home's copy is granted */
    bool advancing;                      /* jobs_advance is at work */
    uint32_t ranges;                     /* peer: range messages carried out */
    uint64_t dropped_start, dropped_end; /* peer: hull of the pages dropped lately */
    uint64_t dropped_ns, dropped_tick;   /* the last of them */
    uint64_t ticks;
    uint64_t answer_least_ns, answer_least_at_ns;          /* the fastest answer to a request of this node lately */
    uint32_t answer_since, answer_stamp;                   /* hold clock when the request of this node answered last
                                                              was made, and answered */
    uint32_t range_sent[NODES_MAX], range_done[NODES_MAX]; /* home */
    uint32_t requests_of[NODES_MAX];                       /* home */
    struct coherence_counters counters;

    struct coherence_request *oldest, *newest, *delayed;
    struct coherence_chunk **chunks;
    uint32_t chunk_count, free_request;
    uint8_t *free_data; /* list through the first word */

    struct coherence_job *jobs; /* the first is at work */
    uint8_t scratch[PAGE_BYTES];
    struct coherence_branch *branches[BRANCH_COUNT];
};

/* Stays on in release builds: what it guards would corrupt the program. */
_Noreturn void coherence_abort(const char *condition, const char *file, int line);
#define COHERENCE_ASSERT(condition)                                                                                    \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            coherence_abort(#condition, __FILE__, __LINE__);                                                           \
    } while (0)

static inline uint64_t coherence_now_ns(const struct coherence *coherence)
{
    return coherence->operations.now_ns(coherence->context);
}

static inline unsigned node_first(uint64_t nodes)
{
    return (unsigned)__builtin_ctzll(nodes);
}

/* ---- coherence_table.c: pages by number; blocks are made when first asked for ---------------- */

struct coherence_page *coherence_table_find(const struct coherence *coherence, uint64_t page); /* NULL: default */
struct coherence_page *coherence_table_get(struct coherence *coherence, uint64_t page);
/* The first block that has a page in [page, end), NULL: none. */
struct coherence_block *coherence_table_block(const struct coherence *coherence, uint64_t page, uint64_t end);
void coherence_table_free_block(struct coherence *coherence, struct coherence_block *block);
void coherence_table_destroy(struct coherence *coherence);
/* What a page is that nobody has asked about. */
void coherence_page_reset(const struct coherence *coherence, struct coherence_page *page);
/* Resets the pages [start, end) and gives back blocks that are wholly inside and have no request.
 * Peer and home. */
void coherence_table_reset(struct coherence *coherence, uint64_t start, uint64_t end);

/* ---- coherence_request.c: requests, their queues, and the time for which pages are held ------ */

/* A new request at the end of the page's queue. */
struct coherence_request *coherence_request_add(struct coherence *coherence, struct coherence_page *page,
                                                uint64_t number, enum coherence_kind kind, unsigned node,
                                                enum page_state state);
void coherence_request_remove(struct coherence *coherence, struct coherence_page *page,
                              struct coherence_request *request);
/* By its number; NULL for 0. */
struct coherence_request *coherence_request_at(const struct coherence *coherence, uint32_t number);
/* The request of `node` in the page's queue that no job made; NULL. */
struct coherence_request *coherence_request_find(const struct coherence *coherence, const struct coherence_page *page,
                                                 enum coherence_kind kind, unsigned node);
/* Keeps contents for later in a buffer of the request. */
void coherence_request_keep(struct coherence *coherence, struct coherence_request *request, const void *data);
void coherence_requests_destroy(struct coherence *coherence);

/* A copy came: the hold time starts. */
void coherence_hold_start(const struct coherence *coherence, struct coherence_page *page);
/* ns for which the copy must stay yet, 0: it may go. */
uint64_t coherence_hold_left(const struct coherence *coherence, const struct coherence_page *page);
/* The copy went (or became read-only); `early`: it was asked for during its hold time. */
void coherence_hold_end(const struct coherence *coherence, struct coherence_page *page, bool early);
/* A request of this node's own threads is answered. */
void coherence_hold_answered(struct coherence *coherence, const struct coherence_request *request);
/* The page is wanted again here: adapts the hold time. */
void coherence_hold_adapt(const struct coherence *coherence, struct coherence_page *page);
/* Puts the request among those that coherence_tick looks at. */
void coherence_request_delay(struct coherence *coherence, struct coherence_request *request);
void coherence_request_undelay(struct coherence *coherence, struct coherence_request *request);

/* ---- coherence_home.c: the directory --------------------------------------------------------- */

void coherence_home_fault(struct coherence *coherence, uint64_t number, bool write);
void coherence_home_fault_protected(struct coherence *coherence, uint64_t number);
void coherence_home_fault_foreign(struct coherence *coherence, uint64_t number);
int coherence_home_request(struct coherence *coherence, unsigned from, const struct wire_page *message);
int coherence_home_return(struct coherence *coherence, unsigned from, const struct wire_page *message,
                          const void *data);
/* Everything that a busy request waits for has come, contents in `data` (NULL: zero, or none
 * needed): grants it. */
void coherence_home_finish(struct coherence *coherence, struct coherence_page *page, struct coherence_request *request,
                           const void *data);
/* Grants the page to `node`, which has not asked for it, when home has it to itself and nothing is under way. */
void coherence_home_push(struct coherence *coherence, uint64_t number, unsigned node);
/* The request of the page that waits for answers to recalls, NULL: none. */
struct coherence_request *coherence_home_pending(const struct coherence *coherence, const struct coherence_page *page);
void coherence_home_recall(struct coherence *coherence, const struct coherence_page *page,
                           struct coherence_request *request, unsigned node, bool with_data);
/* Starts what can start for the page. */
void coherence_home_run(struct coherence *coherence, uint64_t number);

/* ---- coherence_peer.c: the cache of a peer --------------------------------------------------- */

void coherence_peer_fault(struct coherence *coherence, uint64_t number, bool write);
void coherence_peer_fault_protected(struct coherence *coherence, uint64_t number);
int coherence_peer_grant(struct coherence *coherence, const struct wire_page *message, const void *data);
int coherence_peer_recall(struct coherence *coherence, const struct wire_page *message);
int coherence_peer_range(struct coherence *coherence, enum wire_type type, const struct wire_range *range);
/* Sends a page that only this node has home, unasked. */
void coherence_peer_give(struct coherence *coherence, uint64_t number);
void coherence_peer_install_failed(struct coherence *coherence, uint64_t number, const void *data);
/* Carries out a recall that was held back. */
void coherence_peer_release(struct coherence *coherence, struct coherence_request *recall);

/* ---- coherence_job.c: ranges ----------------------------------------------------------------- */

int coherence_job_range_done(struct coherence *coherence, unsigned from, const struct wire_range *range);
/* Is a job at work on the page, or about to be? */
bool coherence_job_concerns(const struct coherence *coherence, uint64_t page);
/* Is this request to wait until the job at work is over? */
bool coherence_job_blocks(const struct coherence *coherence, const struct coherence_request *request);
/* Has (or will have) `node` to forget this page, so that what it says about it is void? */
bool coherence_job_forgets(struct coherence *coherence, unsigned node, uint64_t page);
/* Moves jobs on as far as they go. At the end of every entry point of home. */
void coherence_jobs_advance(struct coherence *coherence);
void coherence_jobs_node_lost(struct coherence *coherence, unsigned node);
void coherence_jobs_destroy(struct coherence *coherence);

#endif
