/*
 * The engine of coprocessor streams: commands with access intervals on memory objects, ordered as
 * their API orders them less what their accesses prove independent, and handed to coprocessors when
 * they are ready. Not for any API: a front end (coproc/opencl, coproc/cuda) turns calls into
 * commands and carries them out. Not for the monitor either: it runs in the application domain,
 * with the program's libc.
 *
 * The rules (docs/coprocessors.md has the reasons). Commands carry the order of their issue. A
 * command is API-ordered after
 *   - the commands it waits for explicitly, and what they are ordered after;
 *   - in an in-order queue all earlier commands of the queue, in any queue the queue's last
 * barrier;
 *   - all commands that are "covered": a host wait was answered before they had run (a virtual
 * barrier). It *executes* after those explicit waits and barriers, but of queue order and virtual
 * barriers only what conflicts with its accesses counts. It *retires* once it has executed and, in
 * an in-order queue, all before it have retired; explicit waits, events and real host waits look at
 * retirement, so that nobody sees an order that the API does not have.
 *
 * All functions may be called from any thread. No lock is held while functions of `struct
 * coproc_driver` run. Unless said otherwise errors are negative errno.
 */
#ifndef COPROC_ENGINE_H
#define COPROC_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COPROC_WINDOW_HIGH                                                                                             \
    64u                            /* unexecuted commands of a coprocessor at which an enqueue waits                   \
                                    */
#define COPROC_WINDOW_LOW      32u /* and at which it goes on */
#define COPROC_LANES_MAX       8u
#define COPROC_PAYLOAD_BYTES   256u         /* of a command, for the front end */
#define COPROC_STAGE_BYTES     (16u << 20)  /* all staging memory */
#define COPROC_STAGE_CHUNK_MAX (256u << 10) /* largest piece of it */
#define COPROC_STATUS_WAIT     (-14)        /* status of a command that waited for a failed one (CL's number) */

struct coproc_engine;
struct coproc_device;  /* a coprocessor: an executor thread, lanes, a window */
struct coproc_queue;   /* a stream of one coprocessor, in order or not */
struct coproc_memory;  /* a root memory object; parts of it are intervals */
struct coproc_command; /* type-stable: recycled, never returned to malloc before the engine ends */

enum coproc_mode {
    COPROC_STRICT, /* host waits are real, queue order is kept; only staged writes are answered
                      early */
    COPROC_ASIF,   /* host waits are answered early where nothing shows it */
};

enum coproc_access { COPROC_READ = 1, COPROC_WRITE = 2 };

enum coproc_flag {
    COPROC_HOST_VISIBLE = 1, /* the host can see its effect or lends it memory: no wait for it is answered early */
    COPROC_UNKNOWN = 2,      /* its accesses are not known: it conflicts with everything */
    COPROC_LOCAL = 4,        /* nothing to submit (markers, barriers): it executes when it is ready */
    COPROC_MARKER = 8,       /* without explicit waits: waits for all earlier commands of its queue */
    COPROC_BARRIER = 16,     /* as COPROC_MARKER; and all later commands of the queue wait for it */
    COPROC_GATE = 32,        /* executes when the host says so, by coproc_command_done (user events); has no queue */
    COPROC_INLINE = 64,      /* submitting it takes no time and no lane, the coprocessor's work on it is
                                not watched, and it is submitted even if what it waits for has failed */
    COPROC_NOTIFY = 128,     /* coproc_driver.retired is wanted */
};

enum coproc_state {
    COPROC_NEW,       /* not enqueued yet */
    COPROC_QUEUED,    /* waits for others or for a lane */
    COPROC_SUBMITTED, /* given to the driver */
    COPROC_COMPLETE,  /* retired, or covered by a wait that was answered early */
};

/* For the tests: edges that are left out. */
enum coproc_fault {
    COPROC_FAULT_NO_RAW = 1,
    COPROC_FAULT_NO_WAR = 2,
    COPROC_FAULT_NO_WAW = 4,
    COPROC_FAULT_NO_COVER = 8,  /* virtual barriers order nothing */
    COPROC_FAULT_NO_STICKY = 16 /* explicit waits bind the command alone, not what follows it in its queue */
};

/* What the front end does for one coprocessor. */
struct coproc_driver {
    /*
     * Starts a command on an in-order lane of the coprocessor and returns 0, or a negative status
     * of the API with which the command then fails. coproc_command_done must follow a 0, from any
     * thread, also from inside. One call at a time for each coprocessor. On a lane that is not
     * empty the driver must keep the order of the calls.
     */
    int (*submit)(void *context, struct coproc_command *command, unsigned lane);
    /* For COPROC_NOTIFY: the command has retired (status 0 or negative); in the order of the queue
     * if that has one. May be NULL. Must not block. */
    void (*retired)(struct coproc_command *command, int status);
    /* Nobody knows the command any more: gives back what the payload holds. May be NULL. Must not
     * block. */
    void (*released)(struct coproc_command *command);
    void *context;
    unsigned lanes;       /* 1 .. COPROC_LANES_MAX: how many independent commands it may have at once */
    unsigned chain_depth; /* commands on one lane at once, each after the one before it; 1: only
                             ready commands */
};

struct coproc_settings {
    enum coproc_mode mode;
    unsigned window_high, window_low;  /* 0: the defaults */
    unsigned spin_us;                  /* how long a thread polls before it sleeps */
    unsigned faults;                   /* enum coproc_fault */
    const struct coproc_driver *gates; /* its retired and released are for gates; may be NULL */
    const char *trace_prefix;          /* NULL: no trace; else PREFIX.json and PREFIX.dot are written when
                                          the engine ends */
};

/* ---- life
 * ---------------------------------------------------------------------------------------------------------------
 */

/* NULL: no memory. */
struct coproc_engine *coproc_engine_new(const struct coproc_settings *settings);
/* Drains, ends all executors, writes the trace. No other call may be under way. */
void coproc_engine_free(struct coproc_engine *engine);
/* In a child after fork: the executors are gone; everything pending is forgotten, and draining
 * returns at once. */
void coproc_engine_forked(struct coproc_engine *engine);
/* Writes what the trace has so far; nothing without one. */
void coproc_engine_trace_write(struct coproc_engine *engine);
/* Nothing is live on any coprocessor, and no gate is shut. A hint only, without a lock. */
bool coproc_engine_idle(const struct coproc_engine *engine);
enum coproc_mode coproc_engine_mode(const struct coproc_engine *engine);
bool coproc_engine_traces(const struct coproc_engine *engine);

/* `name` is for the trace. NULL: no memory or no thread. The device must have no live command when
 * it is freed. */
struct coproc_device *coproc_device_new(struct coproc_engine *engine, const struct coproc_driver *driver,
                                        const char *name);
void coproc_device_free(struct coproc_device *device);

/* Live commands of a freed queue go on; the queue goes with the last of them. `ordered`: keep the
 * queue's order in execution too (somebody looks at the clock). */
struct coproc_queue *coproc_queue_new(struct coproc_device *device, bool in_order, bool ordered);
void coproc_queue_free(struct coproc_queue *queue);
struct coproc_device *coproc_queue_device(const struct coproc_queue *queue);

/* `size` in bytes; intervals are cut at it. Commands may still use a freed object. */
struct coproc_memory *coproc_memory_new(struct coproc_engine *engine, uint64_t size);
void coproc_memory_free(struct coproc_memory *memory);

/* ---- commands
 * -----------------------------------------------------------------------------------------------------------
 */

/*
 * A new command with one reference, the caller's, to be given back with coproc_command_unref.
 * `queue` is NULL only for a gate, which is enqueued at once. `name` must live as long as the
 * engine. Never NULL: memory for commands is reserved in slabs, and without memory the process ends
 * with a message.
 */
struct coproc_command *coproc_command_new(struct coproc_engine *engine, struct coproc_queue *queue, unsigned flags,
                                          const char *name);
void coproc_command_ref(struct coproc_command *command);
void coproc_command_unref(struct coproc_command *command);
/* COPROC_PAYLOAD_BYTES of zeros at first, for the front end. */
void *coproc_command_payload(struct coproc_command *command);
/* Only while the command has not retired, or while the queue is known to be there. NULL: a gate. */
struct coproc_queue *coproc_command_queue(const struct coproc_command *command);
/* Only before the command is enqueued; `access` is an or of enum coproc_access. Empty intervals are
 * allowed. */
void coproc_command_access(struct coproc_command *command, struct coproc_memory *memory, uint64_t offset,
                           uint64_t length, unsigned access);
/* Only before the command is enqueued; `other` is enqueued: the command executes after `other` has
 * retired. Failed ones make it fail. */
void coproc_command_wait(struct coproc_command *command, struct coproc_command *other);
/*
 * From here on the command runs when it may. Waits while the window is full and the coprocessor
 * makes progress without the host, unless the caller is inside a callback (coproc_callback_enter).
 */
void coproc_command_enqueue(struct coproc_command *command);
/* The command has executed: status 0 or a negative status of the API. For gates and for what
 * `submit` started. */
void coproc_command_done(struct coproc_command *command, int status);
/* For COPROC_INLINE, when it is submitted: whether something it waited for had failed. */
bool coproc_command_wait_failed(struct coproc_command *command);
/* Sets COPROC_HOST_VISIBLE and COPROC_NOTIFY later, for a callback. False: it has retired,
 * `retired` will not be called. */
bool coproc_command_show(struct coproc_command *command);
/* Start and end on the coprocessor for the trace, in nanoseconds of CLOCK_MONOTONIC; before
 * coproc_command_done. */
void coproc_command_times(struct coproc_command *command, uint64_t start_ns, uint64_t end_ns);
/* What the API may show: the status is 0 or negative, and set only with COPROC_COMPLETE. */
enum coproc_state coproc_command_state(struct coproc_command *command, int *status);
/* Whether the command really has retired. */
bool coproc_command_retired(const struct coproc_command *command);
/* Whether something it waits for, directly or not, is a gate that is still shut: only the host can
 * bring it about. */
bool coproc_command_gated(struct coproc_command *command);

/* ---- waits: a negative status when one of the commands named failed, else 0
 * ------------------------------------------------ */

enum coproc_wait {
    COPROC_WAIT_MODE,  /* as the mode says: answered early where nothing shows it, else real */
    COPROC_WAIT_EARLY, /* as in COPROC_ASIF in any mode: for staged writes */
    COPROC_WAIT_REAL,  /* until they have retired */
};
int coproc_wait_commands(struct coproc_command *const *commands, size_t count, enum coproc_wait how);
/* All commands of a queue. A failure that nobody has been told is returned once, by a wait that is
 * real. */
int coproc_wait_queue(struct coproc_queue *queue, enum coproc_wait how);
/* Until the command was given to the driver (or has failed): for answers that only the driver can
 * give. False: not yet, and only the host can bring that about (coproc_command_gated). */
bool coproc_wait_submitted(struct coproc_command *command);
/* Until all live commands have retired that are not behind a shut gate. */
void coproc_drain(struct coproc_engine *engine);
/* The newest live commands of a queue, at most `count`, referenced for the caller: returns how
 * many. In an in-order queue the last one stands for all. */
size_t coproc_queue_last(struct coproc_queue *queue, struct coproc_command **commands, size_t count);
/* Nothing is live on the coprocessor. A hint only. */
bool coproc_device_idle(const struct coproc_device *device);

/* The front end marks calls into the application, in which an enqueue must not wait for the window.
 */
void coproc_callback_enter(void);
void coproc_callback_leave(void);

/* ---- burying: things that live commands may still use
 * ------------------------------------------------------------------ */

/* Calls `bury(object)` when all commands enqueued before have retired: at once if none is live. No
 * lock is held. */
void coproc_bury(struct coproc_engine *engine, void (*bury)(void *object), void *object);

/* ---- staging: memory for what the host wrote
 * -------------------------------------------------------------------------------- */

/* NULL: larger than COPROC_STAGE_CHUNK_MAX, or all is in use. */
void *coproc_stage_take(struct coproc_engine *engine, size_t size);
void coproc_stage_give(struct coproc_engine *engine, void *memory, size_t size);

struct coproc_counts {
    uint64_t enqueued, retired, waits_early, waits_real, edges, chained;
    uint64_t live;          /* now */
    uint64_t intervals;     /* now, of all memory objects */
    uint64_t commands_held; /* ever reserved: bounded */
};
void coproc_engine_counts(struct coproc_engine *engine, struct coproc_counts *counts);

#endif
