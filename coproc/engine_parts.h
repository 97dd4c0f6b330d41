/*
 * What the files of the engine share. Not for front ends. Everything here is guarded by
 * engine->lock unless it says otherwise.
 */
#ifndef COPROC_ENGINE_PARTS_H
#define COPROC_ENGINE_PARTS_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "coproc/engine.h"

#define INLINE_ACCESSES 8u
#define INLINE_WAITS    8u
#define SLAB_COMMANDS   64u
#define NO_LANE         COPROC_LANES_MAX
#define QUEUE_STICKY    16u /* more make the next command of the queue wait for them all by a barrier of ours */

/* Assertions that stay in release builds: a broken graph corrupts the program's data. */
#define COPROC_ASSERT(condition) ((condition) ? (void)0 : coproc_fatal(__FILE__, __LINE__, #condition))
_Noreturn void coproc_fatal(const char *file, int line, const char *what);

/* ---- bell: a thread that waits polls, yielding, then sleeps
 * ---------------------------------------------------------------- */

struct bell {
    _Atomic uint32_t word;
    _Atomic uint32_t sleepers;
};
void bell_ring(struct bell *bell);
/* Until the word differs from `seen`; no lock held. */
void bell_wait(struct bell *bell, uint32_t seen, unsigned spin_us);

/* ---- lists
 * ----------------------------------------------------------------------------------------------------------------------
 */

struct link {
    struct coproc_command *previous, *next;
};
struct list {
    struct coproc_command *first, *last;
};

/* Commands are recycled: a pointer that is kept past retirement counts only while the sequence is
 * the same. */
struct handle {
    struct coproc_command *command;
    uint64_t sequence;
};

struct edge {
    struct handle to;
    bool strong; /* counts down when the source retires; else when it executes */
    struct edge *next;
};

struct predecessor {
    struct handle from;
    bool strong;
};

struct access_request {
    struct coproc_memory *memory;
    uint64_t start, end;
    unsigned access;
};

enum place { PLACE_NONE, PLACE_READY, PLACE_URGENT, PLACE_CHAIN, PLACE_INLINE };
#define PLACES 5

struct coproc_command {
    struct coproc_engine *engine;
    struct coproc_queue *queue;         /* NULL: a gate */
    const struct coproc_driver *driver; /* NULL: a gate; outlives the queue */
    const char *name;
    uint64_t sequence; /* issue order; 0: free */
    uint64_t mark;     /* of the last walk that met it */
    _Atomic unsigned refs;
    unsigned flags;
    int status;
    bool enqueued, submitted, executed, settled, covered, urgent, wait_failed, cut_unknown;
    _Atomic bool retired;

    struct edge *successors;
    unsigned blockers;       /* edges to it that still count */
    unsigned chain_blockers; /* of these: from commands that were submitted on lane chain_lane */
    unsigned chain_lane;     /* NO_LANE: on several */
    unsigned lane;

    enum place place;
    struct link in_place, in_queue, in_live, in_unknown;
    struct coproc_command *walk_next; /* free list, closures, worklists */

    struct predecessor *waits;
    unsigned wait_count, wait_capacity;
    struct access_request *accesses;
    unsigned access_count, access_capacity;
    struct predecessor inline_waits[INLINE_WAITS];
    struct access_request inline_accesses[INLINE_ACCESSES];

    uint64_t called_ns, answered_ns, submitted_ns, start_ns, end_ns; /* with a trace only */
    _Alignas(16) unsigned char payload[COPROC_PAYLOAD_BYTES];
};

struct coproc_queue {
    struct coproc_device *device;
    bool in_order, ordered, freed;
    unsigned number;
    unsigned live;
    struct list commands;               /* not retired, in issue order */
    struct handle sticky[QUEUE_STICKY]; /* what everything later in the queue waits for */
    unsigned sticky_count;
    int deferred_status; /* of a failure that no wait has returned yet */
};

struct lane {
    unsigned depth;
};

struct coproc_device {
    struct coproc_engine *engine;
    struct coproc_driver driver;
    char name[32];
    unsigned number;
    pthread_t thread;
    bool running, stop, pumping, ring, ring_window;
    struct bell bell, window;
    struct list places[PLACES];
    struct lane lanes[COPROC_LANES_MAX];
    unsigned pending; /* enqueued and not executed, gates and inline ones left out */
    unsigned watched; /* of these: on a lane */
    unsigned window_waiters;
    struct coproc_command *submitting; /* the driver has it right now, in this thread: */
    pthread_t submitter;
    bool runs_inside;      /* the last command was run inside submit: nobody else needs the processor */
    _Atomic unsigned live; /* not retired */
    struct coproc_device *next, *ring_next;
};

/* An access of a live command in one segment. */
struct access_node {
    struct handle by;
    unsigned access;
    bool cut;                 /* all older ones that are live come before it */
    struct access_node *next; /* older */
};

struct segment {
    uint64_t start, end;
    struct access_node *nodes; /* newest first */
    unsigned count;
};

struct coproc_memory {
    struct coproc_engine *engine;
    uint64_t size;
    struct segment *segments; /* sorted, disjoint; gaps have no live access */
    size_t count, capacity, sweep_at;
    struct coproc_memory *next_free;
};

struct burial {
    void (*bury)(void *object);
    void *object;
    uint64_t after; /* sequence */
    struct burial *next;
};

/* Header of a piece of memory that goes with the engine. */
struct slab {
    struct slab *next;
    uint64_t unused; /* alignment */
};

struct coproc_engine {
    pthread_mutex_t lock;
    struct coproc_settings settings;
    bool forked;

    uint64_t sequence, mark;
    struct coproc_command *free_commands;
    struct edge *free_edges;
    struct access_node *free_nodes;
    struct slab *slabs;
    struct coproc_device *devices, *spare_devices;
    struct list live, unknown; /* not retired, in issue order; of these with COPROC_UNKNOWN and not executed */
    _Atomic unsigned live_count;
    unsigned queue_numbers, device_numbers;

    /* Left for engine_leave. */
    struct coproc_command *executed, **executed_end; /* worklist of settle */
    struct coproc_command *dead;
    struct coproc_command *notices, **notices_end;
    bool delivering;
    struct burial *burials, **burials_end;
    struct coproc_device *ring_devices;
    bool ring_progress;
    struct bell progress;
    _Atomic unsigned ringing; /* threads that ring bells without the lock */
    unsigned waiters;

    struct coproc_counts counts;
    struct trace *trace;

    pthread_mutex_t stage_lock;
    struct stage *stage;
};

/* ---- engine.c
 * ------------------------------------------------------------------------------------------------------------------
 */

void engine_enter(struct coproc_engine *engine);
/* Unlocks, and does what must be done without the lock. */
void engine_leave(struct coproc_engine *engine);
/* Zeroed, lives as long as the engine; without memory the process ends. */
void *engine_memory(struct coproc_engine *engine, size_t size);
uint64_t engine_now_ns(void);

static inline bool handle_live(struct handle handle)
{
    return handle.command->sequence == handle.sequence && !handle.command->retired;
}
static inline bool handle_pending(struct handle handle)
{
    return handle.command->sequence == handle.sequence && !handle.command->executed;
}
static inline struct handle handle_of(struct coproc_command *command)
{
    return (struct handle){command, command->sequence};
}

/* ---- command.c
 * -----------------------------------------------------------------------------------------------------------------
 */

void command_unref_locked(struct coproc_command *command);
/* Gives back a command that nobody knows. */
void command_recycle(struct coproc_command *command);
extern _Thread_local unsigned callback_depth;

/* ---- list.c: `offset` of the struct link in the command
 * --------------------------------------------------------------------- */

void list_append(struct list *list, struct coproc_command *command, size_t offset);
void list_remove(struct list *list, struct coproc_command *command, size_t offset);

/* ---- graph.c
 * -------------------------------------------------------------------------------------------------------------------
 */

/* An edge; `kind` is for the trace. Nothing when `from` counts no more. */
void graph_edge(struct coproc_command *from, struct coproc_command *to, bool strong, const char *kind);
/* Whether the API orders `from`, issued earlier, before `to`, by queue order or by a virtual
 * barrier. */
bool graph_ordered(const struct coproc_command *from, const struct coproc_command *to);
/* All edges of a command that is being enqueued. */
void graph_insert(struct coproc_command *command);
/* It has executed: successors, retirement, all that follows. */
void graph_execute(struct coproc_command *command, int status);
/* What was executed meanwhile; always before the lock is given back. */
void graph_settle(struct coproc_engine *engine);
/* No edge to it counts any more; graph_settle must follow. */
void graph_ready(struct coproc_command *command);

/* ---- interval.c
 * ----------------------------------------------------------------------------------------------------------------
 */

/* Edges to `command` from the conflicting accesses before it; then its access is one of them. */
void interval_insert(struct coproc_command *command, const struct access_request *request);

/* ---- executor.c
 * ----------------------------------------------------------------------------------------------------------------
 */

void *executor_run(void *device);
/* Gives the driver what is ready; `urgent_only`: for a thread that waits. Unlocks and locks. */
void executor_pump(struct coproc_device *device, bool urgent_only);
void executor_place(struct coproc_command *command, enum place place);
void executor_kick(struct coproc_device *device);
/* There may be room for a thread that waits for the window. */
void executor_room(struct coproc_device *device);
/* The coprocessor gets on without the host: waiting for room cannot last for ever. */
bool executor_progresses(const struct coproc_device *device);
/* An edge that is not strong comes from a command submitted on this lane. */
void executor_chain(struct coproc_command *command, const struct coproc_command *from);
/* Whether all that the command waits for is on one lane: then it may follow there. */
void executor_chain_check(struct coproc_command *command);
void executor_urge(struct coproc_command *command);
/* How long it is worth polling for the coprocessor. NULL: not for one. */
unsigned executor_spin_us(const struct coproc_device *device);

/* ---- trace.c
 * -------------------------------------------------------------------------------------------------------------------
 */

struct trace *trace_new(void);
void trace_edge(struct coproc_engine *engine, const struct coproc_command *from, const struct coproc_command *to,
                const char *kind);
void trace_command(struct coproc_engine *engine, const struct coproc_command *command);
void trace_wait(struct coproc_engine *engine, const char *name, uint64_t start_ns, uint64_t end_ns);
void trace_write(struct coproc_engine *engine);
void trace_free(struct trace *trace);

/* ---- stage.c
 * -------------------------------------------------------------------------------------------------------------------
 */

void stage_free(struct stage *stage);

#endif
