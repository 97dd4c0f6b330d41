/*
 * The wire: every structure and limit of what nodes say to each other.
 * All integers are little-endian, structures are naturally aligned and have no holes. docs/wire.md tells the story.
 *
 * A connection starts with a preamble in the clear (what it is for and which session), then TLS when a key is in use,
 * then a hello and a welcome, then frames: a header and its payload. There are two kinds of connection in a session:
 * one *engine channel* between home and each peer (coherence, ordered), and one *thread channel* for each thread that
 * lives on a peer (its calls and its context).
 */
#ifndef RUNTIME_WIRE_H
#define RUNTIME_WIRE_H

#include <stdint.h>

#define WIRE_MAGIC   0x4e415053u /* "SPAN" */
#define WIRE_VERSION 6u
#define WIRE_PORT    7171

#define NODES_MAX 64 /* a sharer set is one 64-bit word */
#define HOME_NODE 0u

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096u

#define SPAN_ZONE_START 0x10000ul
#define SPAN_ZONE_END   0x700000000000ul

#define WIRE_FRAME_BYTES_MAX (128u * 1024u) /* payload of one frame */
#define WIRE_XSAVE_BYTES_MAX (12u * 1024u)
#define WIRE_BUFFERS_BYTES   (17u * 1024u) /* of the program's memory that go along with one call, or with its result */
#define WIRE_MESSAGE_BYTES   160
#define WIRE_FILE_PAGES_MAX  16u /* pages of a read-only file mapping in one answer */

/* ---- connection set-up ------------------------------------------------------------------------------------------ */

enum wire_kind {
    WIRE_KIND_PROBE = 1,   /* who are you, what can you do: hello, welcome, end */
    WIRE_KIND_SESSION = 2, /* opens a session: becomes the engine channel */
    WIRE_KIND_THREAD = 3,  /* a thread channel of a session that is open */
};

#define WIRE_PREAMBLE_TLS 1u /* a TLS handshake follows */

struct wire_preamble {
    uint32_t magic;
    uint16_t version;
    uint8_t kind;  /* enum wire_kind */
    uint8_t flags; /* WIRE_PREAMBLE_* */
    uint8_t session[16];
};

/* What a processor offers to programs; a peer must offer everything that home does. */
struct wire_cpu {
    uint32_t leaf1_ecx, leaf1_edx;
    uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
    uint32_t leaf7_1_eax;
    uint32_t ext1_ecx, ext1_edx; /* leaf 0x80000001 */
    uint64_t xcr0;
    uint32_t xsave_bytes; /* size of the standard-format area for xcr0 */
    uint32_t reserved;
};

/* When pages are packed before they are sent. */
enum wire_compress {
    WIRE_COMPRESS_AUTO, /* where the link is slower than packing */
    WIRE_COMPRESS_ALWAYS,
    WIRE_COMPRESS_NEVER,
};

#define WIRE_HELLO_NO_AHEAD 1u /* ask for no page before it is touched */

struct wire_hello {
    uint32_t magic;
    uint16_t version;
    uint16_t node;       /* the number this peer has in the session, 1.. */
    uint16_t node_count; /* home included */
    uint8_t verbose;
    uint8_t compress;                          /* enum wire_compress, for what the peer sends */
    uint16_t processor_first, processor_count; /* the session's numbers of the peer's processors; count 0: not known */
    uint32_t pid;                              /* of the program at home, for messages */
    uint32_t flags;                            /* WIRE_HELLO_* */
    uint64_t monotonic_ns, boottime_ns, realtime_ns; /* home's clocks when this was sent */
    struct wire_cpu cpu;
    char program[64]; /* for messages */
};

enum wire_status {
    WIRE_OK = 0,
    WIRE_BAD_VERSION = 1,
    WIRE_BAD_CPU = 2,     /* the peer lacks an instruction set; message names it */
    WIRE_NO_SESSION = 3,  /* thread channel for a session that is not open */
    WIRE_REFUSED = 4,     /* limits, policy; message tells */
    WIRE_NO_USERFAULT = 5 /* the peer may not use userfaultfd */
};

struct wire_welcome {
    uint32_t magic;
    uint16_t version;
    uint16_t status; /* enum wire_status */
    uint32_t cpu_count;
    uint32_t reserved;
    uint64_t memory_bytes;
    struct wire_cpu cpu;
    char message[WIRE_MESSAGE_BYTES]; /* why not, for the user; empty when status is WIRE_OK */
};

/* The runtime process of a session, once it has all it needs: the last before frames. */
struct wire_ready {
    uint32_t magic;
    uint16_t status; /* WIRE_OK or WIRE_REFUSED */
    uint16_t reserved;
    char message[WIRE_MESSAGE_BYTES]; /* as in a welcome */
};

/* ---- frames ------------------------------------------------------------------------------------------------------ */

struct wire_frame {
    uint32_t bytes; /* of the payload that follows */
    uint16_t type;  /* enum wire_type */
    uint16_t flags; /* WIRE_FRAME_* */
};

/* On the engine channel: the payload is a struct wire_packed, the bytes that are plain, and the rest as a zstd frame.
 */
#define WIRE_FRAME_PACKED 1u

struct wire_packed {
    uint32_t bytes; /* of the payload once it is unpacked */
    uint32_t plain; /* of these, as they are */
};

enum wire_type {
    /* engine channel, both ways; payload struct wire_page [+ page bytes] */
    WIRE_PAGE_REQUEST = 1, /* peer -> home: wants read or write permission */
    WIRE_PAGE_GRANT = 2,   /* home -> peer */
    WIRE_PAGE_RECALL = 3,  /* home -> peer: give up, to state `state` */
    WIRE_PAGE_RETURN = 4,  /* peer -> home: the answer to a recall */
    WIRE_FILE_REQUEST = 5, /* peer -> home: pages of a read-only file mapping, from `page` on */
    WIRE_FILE_GRANT = 6,   /* home -> peer: `count` pages follow; count 0: not mapped any more */

    /* engine channel, home -> peer and its answer; payload struct wire_range */
    WIRE_RANGE_DROP = 10,    /* forget mappings and pages of the range */
    WIRE_RANGE_PROTECT = 11, /* new protection for what is mapped of the range */
    WIRE_RANGE_DONE = 12,    /* peer -> home: the oldest unanswered range message is done */

    /* engine channel, control */
    WIRE_INTERRUPT = 20,          /* home -> peer; payload struct wire_interrupt: bring that thread to its shadow */
    WIRE_QUIT = 21,               /* home -> peer: the session ends; answered by WIRE_STATISTICS */
    WIRE_STATISTICS = 22,         /* peer -> home; payload struct wire_statistics */
    WIRE_STATISTICS_REQUEST = 23, /* home -> peer, while the session runs */
    WIRE_QUESTION = 24,           /* home -> peer; payload struct wire_question */
    WIRE_ANSWER = 25,             /* peer -> home; the same again, and what is answered */

    /* thread channel, home -> peer */
    WIRE_THREAD_START = 40,        /* payload struct wire_context: run this */
    WIRE_CALL_RESULT = 41,         /* payload struct wire_result */
    WIRE_MAPPING = 42,             /* payload struct wire_mapping */
    WIRE_CALL_RESULT_BUFFERS = 43, /* payload struct wire_result, struct wire_buffers, what the kernel wrote */

    /* thread channel, peer -> home */
    WIRE_CALL = 50,            /* payload struct wire_call */
    WIRE_MAPPING_REQUEST = 51, /* payload struct wire_fault */
    WIRE_THREAD_RETURN = 52,   /* payload struct wire_context: the thread comes home */
    WIRE_THREAD_EXIT = 53,     /* payload struct wire_call: exit(2) */
    WIRE_THREAD_REFUSED = 54,  /* the first answer on a new channel: no thread can be made here for it */
    WIRE_CALL_BUFFERS = 55,    /* payload struct wire_call, struct wire_buffers, what the kernel will read */
    WIRE_STORE = 56,           /* payload struct wire_store, what came with a result and cannot be stored here */
};

/* ---- engine channel -----------------------------------------------------------------------------------------------
 */

enum page_state {
    PAGE_LOST = 0,
    PAGE_SHARED = 1,
    PAGE_EXCLUSIVE = 2,
    PAGE_MODIFIED = 3,
};

#define WIRE_PAGE_DATA 1u /* PAGE_BYTES of contents follow the structure */
#define WIRE_PAGE_ZERO 2u /* the page is all zero, no bytes follow */
#define WIRE_PAGE_GONE 4u /* grant: not mapped at home any more, forget the request; return: held nothing */

struct wire_page {
    uint64_t page;  /* address >> PAGE_SHIFT */
    uint32_t epoch; /* request: of the copy still held, 0 none; others: of the page after the event */
    uint32_t drops; /* request: how many range messages this peer had carried out when it asked */
    uint8_t state;  /* enum page_state: wanted, granted, or to fall back to */
    uint8_t held;   /* request and return: enum page_state at the sender before */
    uint16_t flags; /* WIRE_PAGE_* */
    uint32_t count; /* file messages: pages wanted or following */
};

struct wire_range {
    uint64_t start, end; /* addresses, page aligned, end exclusive */
    uint32_t protection; /* PROT_* */
    uint32_t sequence;
};

struct wire_interrupt {
    uint32_t thread; /* number of the thread in the session, struct wire_context.thread */
    uint32_t reserved;
};

struct wire_question {
    uint32_t number; /* goes back with the answer */
    uint32_t what;   /* enum wire_question_what */
};

enum wire_question_what {
    WIRE_QUESTION_LOOK = 1,    /* have the threads of the program on this node look where they are; no answer */
    WIRE_QUESTION_THREADS = 2, /* where they were: structs wire_thread_report */
};

/* Where a thread of the program is, on the node that runs it. */
enum wire_thread_state {
    WIRE_THREAD_RUNS = 1,   /* in the program's code */
    WIRE_THREAD_CALLS = 2,  /* in a call */
    WIRE_THREAD_SILENT = 3, /* it has not looked; the rest is of its last call */
};

#define WIRE_REPORT_REGISTERS 8 /* RIP, RSP, RBP, RBX, R12 to R15 */

struct wire_thread_report {
    uint32_t thread;                  /* its number in the session */
    uint32_t state;                   /* enum wire_thread_state */
    uint64_t waits_address, waits_ns; /* of the page that it waits for, 0: of none; since how long */
    uint64_t call, arguments[6];      /* the last one */
    uint64_t registers[WIRE_REPORT_REGISTERS];
};

#define WIRE_LATENCY_BUCKETS 32 /* bucket i counts latencies in [2^i, 2^(i+1)) nanoseconds */

struct wire_statistics {
    uint64_t cpu_user_us, cpu_system_us;
    uint64_t program_us; /* peer: of the program's threads in its own code */
    uint64_t idle_us;    /* peer: its processors', whoever might have used them; 0: unknown */
    uint64_t threads_run;
    uint64_t faults_read, faults_write, faults_upgrade;
    uint64_t pages_in, pages_out, pages_zero, pages_file;
    uint64_t recalls;
    uint64_t bytes_in, bytes_out;
    uint64_t bytes_saved; /* that did not go out, because pages were packed */
    uint64_t calls_local, calls_forwarded;
    uint64_t migrations_in, migrations_out;
    uint64_t fault_latency[WIRE_LATENCY_BUCKETS];
    uint64_t call_latency[WIRE_LATENCY_BUCKETS];
};

/* ---- thread channel ------------------------------------------------------------------------------------------------
 */

/* General registers in the order of <sys/ucontext.h> REG_R8 .. REG_EFL, as the kernel's sigcontext has them. */
#define WIRE_GREGS 18

#define WIRE_CARRIED_MAX 6

/* What went along with a thread besides its stack: a guess of what it works with. */
struct wire_carried {
    uint64_t moves;                   /* of the thread so far */
    uint64_t pages[WIRE_CARRIED_MAX]; /* addresses, 0: none */
};

struct wire_context {
    uint64_t gregs[WIRE_GREGS];
    uint64_t fs_base;
    uint32_t thread;      /* number of the thread in the session */
    int32_t tid, pid;     /* answers to gettid and getpid */
    uint32_t xsave_bytes; /* of the standard-format XSAVE area that follows */
    uint32_t reason;      /* return: enum wire_reason */
    uint32_t reserved;
    uint64_t call;                    /* return: system call to carry out at home first, or WIRE_NO_CALL */
    uint64_t fault_address;           /* return for a fault: si_addr */
    int32_t fault_signal, fault_code; /* signal number and si_code */
    uint64_t fault_error, fault_trap; /* REG_ERR and REG_TRAPNO of the fault */
    uint64_t processors; /* start: of the node's own, those that the thread may use, from the first on; 0: all */
    struct wire_carried carried;
};
#define WIRE_NO_CALL UINT64_MAX

enum wire_reason {
    WIRE_REASON_ASKED = 1, /* interrupted, or told so with a result */
    WIRE_REASON_CALL = 2,  /* a call that works on the thread itself */
    WIRE_REASON_FAULT = 3, /* a fault that home must judge: signal, pinned memory */
};

struct wire_call {
    uint64_t number;
    uint64_t arguments[6];
    uint64_t instruction; /* address after the call, for messages and restarts */
};

/*
 * What the arguments of a call point to. In a call: the bytes of each argument's buffer, 0 for one that stays where it
 * is; the contents of those that the kernel reads follow. In a result: what it wrote of each, which follows. A vector
 * has its array of struct iovec before its parts in a call, and is one piece in a result. Every piece begins at a
 * multiple of 8 bytes.
 */
struct wire_buffers {
    uint16_t bytes[6];
    uint32_t reserved;
};

/* Answered by WIRE_CALL_RESULT: 0 or -EFAULT. */
struct wire_store {
    uint64_t address;
};

#define WIRE_RESULT_COME_HOME 1u /* send WIRE_THREAD_RETURN with the result in place */

struct wire_result {
    int64_t value;
    uint32_t flags; /* WIRE_RESULT_* */
    uint32_t reserved;
};

struct wire_fault {
    uint64_t address;
    uint32_t write, execute; /* 0 or 1 */
    uint32_t code;           /* si_code */
    uint32_t reserved;
};

enum wire_mapping_kind {
    WIRE_MAPPING_NONE = 0,   /* nothing there, or a real fault: come home with the context */
    WIRE_MAPPING_MEMORY = 1, /* coherent anonymous memory */
    WIRE_MAPPING_FILE = 2,   /* read-only file mapping: fetched, never recalled */
    WIRE_MAPPING_PINNED = 3, /* stays at home: come home */
};

struct wire_mapping {
    uint64_t start, end;
    uint32_t protection; /* PROT_* */
    uint32_t kind;       /* enum wire_mapping_kind */
};

_Static_assert(sizeof(struct wire_preamble) == 24, "no holes");
_Static_assert(sizeof(struct wire_frame) == 8, "no holes");
_Static_assert(sizeof(struct wire_page) == 24, "no holes");
_Static_assert(sizeof(struct wire_range) == 24, "no holes");
_Static_assert(sizeof(struct wire_call) == 64, "a call fits the raw exchange it is measured against");

#endif
