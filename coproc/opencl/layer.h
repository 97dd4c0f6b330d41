/*
 * What the files of the OpenCL front end share: the driver's dispatch table, what is known about
 * each object, and the payload of commands. Not for the engine's inside.
 *
 * The application's handles are the driver's, except events, which are ours: a call is answered
 * before the driver has made one. Launches use kernel objects of our own (clones), so that the
 * application may set the next arguments at once, and lanes (in-order queues) of our own; the
 * application's kernels and queues serve its own queries, argument checks and all calls that only
 * the driver can judge (foreign.c).
 */
#ifndef COPROC_OPENCL_LAYER_H
#define COPROC_OPENCL_LAYER_H

#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <CL/cl_gl.h>
#include <CL/cl_icd.h>
#include <CL/cl_layer.h>
#include <pthread.h>
#include <stdatomic.h>

#include "coproc/engine.h"

#define STATION_LANES 4u
#define STATION_CHAIN 16u
#define STAGE_SMALL   (64u << 10) /* writes up to this are staged always, larger ones when the device is busy */
#define PATTERN_MAX   128u
#define ENTRY_COUNT   149u

extern const cl_icd_dispatch *real; /* the driver's */
extern struct coproc_engine *engine;

/* ---- objects: handle.c ------------------------------------------------------------------------
 */

enum handle_kind { HANDLE_QUEUE, HANDLE_MEMORY, HANDLE_KERNEL, HANDLE_PROGRAM };

struct handle_entry {
    void *native;
    enum handle_kind kind;
    _Atomic unsigned refs; /* the application's */
};

/* NULL: not one of this kind. The entry lives at least until the application releases the handle.
 */
void *handle_find(const void *native, enum handle_kind kind);
void handle_add(struct handle_entry *entry, void *native, enum handle_kind kind);
void handle_remove(struct handle_entry *entry);
/* A name that lives for ever, one copy of each. */
const char *name_intern(const char *name);
/* Never NULL: zeroed, or the process ends. */
void *layer_memory(size_t size);

/* ---- queues: queue.c --------------------------------------------------------------------------
 */

/* One coprocessor as one context sees it. */
struct station {
    cl_context context;
    cl_device_id device;
    struct coproc_device *coprocessor;
    cl_command_queue lanes[STATION_LANES];
    unsigned number; /* for clones */
    unsigned queues; /* guarded by the list's lock */
    size_t group_max, item_max[3];
    unsigned align_bytes;
    cl_ulong local_bytes;
    struct station *next;
};

struct queue {
    struct handle_entry entry;
    cl_command_queue native;
    cl_context context;
    struct station *station;
    struct coproc_queue *stream;
    bool in_order, profiling;
};

struct queue *queue_find(cl_command_queue native);
/* How many references of the driver's context are ours. */
unsigned station_references(cl_context context);

/* ---- memory objects: memory.c -----------------------------------------------------------------
 */

struct root {
    struct coproc_memory *map;
    _Atomic unsigned refs;
};

struct memory {
    struct handle_entry entry;
    cl_mem native;
    cl_context context;
    cl_mem_object_type type;
    cl_mem_flags flags;
    struct root *root;
    uint64_t offset, size; /* in the root */
    bool part;             /* a sub-buffer */
    bool visible;          /* the host sees what is written to it */
    bool unknown;          /* other APIs write to it, pipes */
    _Atomic unsigned uses; /* by us: the struct goes when they and the application's are gone */
};

struct memory *memory_find(cl_mem native);
void memory_use(struct memory *memory);
void memory_unuse(struct memory *memory);
/* Adds the access to the command; returns what flags the command needs for it. */
unsigned memory_flags(const struct memory *memory);
void memory_access(struct coproc_command *command, const struct memory *memory, uint64_t offset, uint64_t size,
                   unsigned access);

/* ---- programs and kernels: program.c, kernel.c -------------------------------------------------
 */

struct program {
    struct handle_entry entry;
    bool from_source, prints, modern; /* what its text and options admit */
    _Atomic unsigned clones, uses;
};
void program_unuse(struct program *program);

struct program *program_find(cl_program native);
/* What kernels of the program may do beyond their arguments. */
void program_judge(const struct program *program, bool *prints, bool *unknown);
/* Whether the text may call printf, by its tokens. */
bool source_prints(const char *text);

struct argument {
    size_t size;
    bool set, null;
    struct memory *memory; /* used */
    size_t at;             /* of the value in the snapshot */
};

/* The arguments of a kernel at one moment. Shared until somebody changes one. */
struct snapshot {
    _Atomic unsigned refs;
    unsigned count;
    size_t used, capacity;
    struct argument *arguments; /* behind it the values */
    unsigned char *values;
};

struct clone {
    cl_kernel native;
    struct snapshot *last; /* the arguments it has */
};

/* What the driver allows for a kernel on a station. */
struct limits {
    bool known;
    size_t group_max, compiled[3];
    cl_ulong local_bytes;
};

#define STATIONS_MAX 16u /* with clones of one kernel; launches elsewhere are foreign */

struct kernel {
    struct handle_entry entry;
    cl_kernel native;
    struct program *program; /* used; NULL: not known */
    cl_program native_program;
    cl_context context;
    const char *name;
    unsigned count;
    unsigned char *access; /* of each argument: 0 none, COPROC_READ, COPROC_READ | COPROC_WRITE */
    bool prints, unknown, foreign;
    struct snapshot *current;
    struct clone clones[STATIONS_MAX];
    struct limits limits[STATIONS_MAX];
    _Atomic unsigned uses;
};

struct kernel *kernel_find(cl_kernel native);
void kernel_unuse(struct kernel *kernel);
void snapshot_unref(struct snapshot *snapshot);
/* In submit: a clone with these arguments, or NULL and the driver's error. */
cl_kernel kernel_clone(struct kernel *kernel, struct station *station, struct snapshot *snapshot, cl_int *error);

/* ---- commands: submit.c ------------------------------------------------------------------------
 */

enum work_kind { WORK_NONE, WORK_KERNEL, WORK_READ, WORK_WRITE, WORK_COPY, WORK_FILL, WORK_UNMAP, WORK_FOREIGN };
enum foreign_state { FOREIGN_WAITS, FOREIGN_GATED, FOREIGN_FIRED, FOREIGN_CANCELLED };

struct event;

/* The payload of commands. */
struct work {
    enum work_kind kind;
    struct station *station;
    struct event *event; /* the application's, for callbacks; not counted */
    cl_event native;     /* the driver's, once there is one */
    uint64_t submitted_ns;
    union {
        struct {
            struct kernel *kernel; /* used */
            struct snapshot *snapshot;
            cl_uint dimensions;
            bool offset_given, local_given;
            size_t offset[3], global[3], local[3];
        } launch;
        struct {
            cl_mem source, target; /* one of them for reads, writes and fills */
            size_t source_offset, target_offset, size;
            void *host, *staged;
            size_t pattern_size;
            unsigned char pattern[PATTERN_MAX];
        } transfer;
        struct {
            cl_event gate; /* the driver's user event, or NULL */
            _Atomic int state;
        } foreign;
    };
};
_Static_assert(sizeof(struct work) <= COPROC_PAYLOAD_BYTES, "the payload holds a work");

extern const struct coproc_driver submit_driver; /* lanes and functions; the context is set for each station */
static inline struct work *work_of(struct coproc_command *command)
{
    return coproc_command_payload(command);
}
/* The driver's event tells us when it has ended. */
int submit_watch(struct coproc_command *command, cl_event native);

/* ---- events: event.c ----------------------------------------------------------------------------
 */

struct event;
/* An event for the command, with one reference, the application's. `command` may be NULL: then
 * `native` has ended. */
cl_event event_new(struct coproc_command *command, cl_event native, cl_context context, cl_command_queue queue,
                   cl_command_type type, bool profiling);
/* NULL: not an event of ours. */
struct event *event_find(cl_event handle);
struct coproc_command *event_command(struct event *event);
cl_context event_context(const struct event *event);
/* Callbacks that were registered. */
void event_retired(struct event *event, int status);

enum waits { WAITS_GOOD, WAITS_EMPTY_LIST, WAITS_BAD_EVENT, WAITS_BAD_CONTEXT };
enum waits waits_judge(cl_context context, cl_uint count, const cl_event *list);
void waits_add(struct coproc_command *command, cl_uint count, const cl_event *list);

/* Sets the driver's user event of a call whose place has come. */
void foreign_open(struct coproc_command *command);

/* ---- calls that the driver judges: foreign.c ----------------------------------------------------
 */

struct foreign {
    struct queue *queue;
    struct coproc_command *command; /* NULL: the driver refuses it anyway */
    cl_uint count;                  /* what the driver gets as its wait list */
    const cl_event *list;
    cl_event wait[1], native, *event; /* `event`: where the driver puts its own */
};

/* Before and after a call of the driver on the application's queue. `memory` NULL: accesses are not
 * known. `flags`: of the engine's, for markers and barriers. */
void foreign_begin(struct foreign *foreign, cl_command_queue queue, cl_uint count, const cl_event *list,
                   unsigned flags);
void foreign_begin_memory(struct foreign *foreign, cl_command_queue queue, cl_uint count, const cl_event *list,
                          struct memory *memory, uint64_t offset, uint64_t size, unsigned access);
cl_int foreign_end(struct foreign *foreign, cl_int error, bool blocking, cl_command_type type, cl_event *event);

/* ---- the rest
 * ------------------------------------------------------------------------------------- */

/* Copies a value as clGet*Info does. */
cl_int info_return(const void *value, size_t size, size_t capacity, void *where, size_t *size_ret);
extern cl_icd_dispatch layer_table;
void table_fill(void);
/* A function of the layer by its name, for clGetExtensionFunctionAddress; NULL: none. */
void *table_find(const char *name);
/* A stub that drains before it jumps to a function that we know nothing of; NULL: there are no
 * more. */
void *table_stub(void *target);

#define DECLARE_WRAP(name) __typeof__(*((cl_icd_dispatch *)0)->name) layer_##name;
#define DECLARE_PASS(name)
#define DECLARE_DRAIN(name)
#define ENTRY(name, how) DECLARE_##how(name)
#include "coproc/opencl/entries.h"
#undef ENTRY

#endif
