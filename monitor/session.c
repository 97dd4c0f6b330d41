/*
 * The session: its nodes, how they are brought into use, and channels to them. Not for which node a thread gets
 * (session_place.c) nor for how a session ends (session_end.c).
 *
 * Peers are asked at the start whether they can take part, but brought into use only when the first thread is placed on
 * one: a program without threads pays nothing, and neither does the long line of short programs that a shell starts.
 */
#include "monitor/session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "monitor/balance.h"
#include "monitor/clock.h"
#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/report.h"
#include "monitor/session_private.h"
#include "monitor/shadow.h"
#include "monitor/space.h"
#include "monitor/thread.h"
#include "monitor/view.h"
#include "runtime/channel.h"
#include "runtime/descriptor.h"
#include "runtime/pager.h"
#include "runtime/userfault.h"

struct pooled {
    struct channel *channel;
    struct pooled *next;
};

static struct session_configuration configuration;
static struct session_node nodes[NODES_MAX];
static unsigned node_count = 1;
static struct channel_key *key;
static uint8_t session_id[16];
static cpu_set_t processors_allowed; /* before anything was bound */
static bool lonely;                  /* a fork child: one node whatever was configured */

static pthread_mutex_t use_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool use_tried, in_use;
static _Atomic uint64_t usable = UINT64_MAX; /* nodes that threads may go to: a bit each, home's always */
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pooled *pool[NODES_MAX];

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const struct session_configuration *session_configuration(void)
{
    return &configuration;
}

struct session_node *session_node(unsigned node)
{
    return &nodes[node];
}

unsigned session_node_count(void)
{
    return lonely ? 1 : node_count;
}

bool session_shared(void)
{
    return session_node_count() > 1;
}

bool session_distributed(void)
{
    return atomic_load(&in_use);
}

bool session_alone(void)
{
    return session_shared() && atomic_load(&use_tried) && !session_distributed();
}

/* ---- before the program -------------------------------------------------------------------------------------------
 */

/* Divides the processors this process may use among the nodes on this machine. */
static void processors_divide(void)
{
    cpu_set_t allowed;
    unsigned cpus[CPU_SETSIZE], count = 0, local = configuration.local;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        span_fatal("sched_getaffinity: %s", strerror(errno));
    processors_allowed = allowed;
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed))
            cpus[count++] = i;
    for (unsigned node = 0; node < local; node++) {
        struct session_node *one = &nodes[node];
        CPU_ZERO(&one->cpus);
        unsigned first = node * count / local, end = (node + 1) * count / local;
        if (count < local) {
            first = node % count;
            end = first + 1;
        }
        for (unsigned i = first; i < end; i++)
            CPU_SET(cpus[i], &one->cpus);
        one->cpu_count = end - first;
        if (!configuration.pin)
            one->cpus = allowed;
        one->local = true;
        snprintf(one->name, sizeof one->name, node ? "local-%u" : "home", node);
    }
}

void session_hello(struct wire_hello *hello, unsigned node)
{
    memset(hello, 0, sizeof *hello);
    hello->magic = WIRE_MAGIC;
    hello->version = WIRE_VERSION;
    hello->node = (uint16_t)node;
    hello->node_count = (uint16_t)node_count;
    hello->verbose = configuration.verbose;
    hello->compress = (uint8_t)configuration.compress;
    hello->flags = configuration.no_ahead ? WIRE_HELLO_NO_AHEAD : 0;
    hello->processor_first = (uint16_t)view_processor_first(node);
    hello->processor_count = (uint16_t)nodes[node].cpu_count;
    if (nodes[node].local && configuration.compress == WIRE_COMPRESS_AUTO)
        hello->compress = WIRE_COMPRESS_NEVER;
    hello->pid = (uint32_t)getpid();
    wire_cpu_probe(&hello->cpu);
    snprintf(hello->program, sizeof hello->program, "%s", configuration.program);
    hello->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    hello->boottime_ns = clock_ns(CLOCK_BOOTTIME);
    hello->realtime_ns = clock_ns(CLOCK_REALTIME);
}

/* Connects to the peer in the way `kind` and does hello and welcome. 0, or a negative errno and `why`. */
static int peer_greet(unsigned node, enum wire_kind kind, struct channel **out, struct wire_welcome *welcome,
                      char why[WIRE_MESSAGE_BYTES])
{
    struct wire_hello hello;
    int result = channel_connect(nodes[node].name, kind, session_id, key, configuration.timeout_ms,
                                 (int)fdguard_floor(), out, why);
    if (result < 0)
        return result;
    session_hello(&hello, node);
    result = channel_send_bytes(*out, &hello, sizeof hello);
    if (result >= 0)
        result = channel_receive_bytes(*out, welcome, sizeof *welcome, configuration.timeout_ms);
    if (result < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "no welcome: %s (is it spand that listens there, with the same key?)",
                 result == -EPIPE ? "the connection ended" : strerror(-result));
    } else if (welcome->magic != WIRE_MAGIC) {
        snprintf(why, WIRE_MESSAGE_BYTES, "what listens there is not spand");
        result = -EPROTO;
    } else if (welcome->version != WIRE_VERSION) {
        snprintf(why, WIRE_MESSAGE_BYTES,
                 "it speaks version %u of the protocol, this is version %u (install the same release)",
                 welcome->version, WIRE_VERSION);
        result = -EPROTO;
    } else if (welcome->status != WIRE_OK) {
        welcome->message[WIRE_MESSAGE_BYTES - 1] = 0;
        snprintf(why, WIRE_MESSAGE_BYTES, "%s", welcome->message[0] ? welcome->message : "refused");
        result = -ECONNREFUSED;
    }
    if (result < 0) {
        channel_close(*out);
        *out = NULL;
    }
    return result < 0 ? result : 0;
}

static void key_prepare(void)
{
    char why[WIRE_MESSAGE_BYTES];
    if (configuration.key_file[0] && channel_key_read(configuration.key_file, &key, why) < 0)
        span_fatal("key: %s", why);
    for (unsigned i = 0; i < configuration.peer_count; i++) {
        int loopback = channel_is_loopback(configuration.peers[i]);
        if (loopback < 0)
            span_fatal("node %s: the name does not resolve (check --nodes)", configuration.peers[i]);
        if (!loopback && !key && !configuration.insecure)
            span_fatal("node %s: refusing to talk over a network without a key (make one with spand --keygen "
                       "FILE, give it to both sides with --key FILE; or --insecure)",
                       configuration.peers[i]);
    }
}

static void peers_probe(void)
{
    char why[WIRE_MESSAGE_BYTES];
    key_prepare();
    node_count = configuration.local;
    for (unsigned i = 0; i < configuration.peer_count; i++) {
        struct session_node *node = &nodes[node_count];
        struct wire_welcome welcome;
        struct channel *channel = NULL;
        memset(node, 0, sizeof *node);
        snprintf(node->name, sizeof node->name, "%s", configuration.peers[i]);
        if (peer_greet(node_count, WIRE_KIND_PROBE, &channel, &welcome, why) < 0) {
            /* Many reasons come with a remedy of their own. */
            const char *remedy = why[0] && why[strlen(why) - 1] == ')' ? "" : " (start spand there, or --best-effort)";
            if (!configuration.best_effort)
                span_fatal("node %s: %s%s", configuration.peers[i], why, remedy);
            if (configuration.executed) /* the first program has said so */
                span_verbose("node %s: %s; going on without it", configuration.peers[i], why);
            else
                span_warn("node %s: %s; going on without it", configuration.peers[i], why);
            continue;
        }
        channel_close(channel);
        node->cpu_count = welcome.cpu_count ? welcome.cpu_count : 1;
        node_count++;
    }
}

/* Before the program has run for hours. */
static void file_check(const char *what, const char *path, const char *option)
{
    struct stat status;
    if (!path[0] || configuration.executed)
        return;
    /* Opening and closing a pipe would be the end of it for who reads it. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        unlink(path); /* a program that is killed leaves none */
    else if (errno == EEXIST)
        fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        span_fatal("%s cannot be written to %s: %s (choose another file with %s=FILE)", what, path, strerror(errno),
                   option);
    close(fd);
}

void session_prepare(const struct session_configuration *wanted)
{
    char why[WIRE_MESSAGE_BYTES];
    configuration = *wanted;
    session_end_prepare();
    span_verbose_set(configuration.verbose);
    file_check("statistics", configuration.statistics_file, "--stats");
    file_check("a trace", configuration.trace_file, "--trace");
    fdguard_initialise();
    if (configuration.statistics || configuration.verbose)
        span_stderr_keep(fdguard_move(dup(STDERR_FILENO)));
    if (!thread_initialise(why))
        span_fatal("%s", why);
    if (configuration.local + configuration.peer_count > NODES_MAX)
        span_fatal("%u nodes are too many (at most %u)", configuration.local + configuration.peer_count, NODES_MAX);
    node_count = configuration.local;
    session_place_prepare();
    processors_divide();
    if (configuration.local + configuration.peer_count == 1)
        return;
    if (getrandom(session_id, sizeof session_id, 0) != sizeof session_id)
        span_fatal("getrandom: %s", strerror(errno));
    if (configuration.peer_count)
        peers_probe();
    if (node_count > 1)
        userfault_device_keep((int)fdguard_floor());
    if (node_count > 1 && pager_probe(why) < 0) {
        /* What the program executes with fewer rights than it has itself runs all the same, and says nothing. */
        if (!configuration.best_effort && !configuration.executed)
            span_fatal("%s", why);
        if (configuration.executed)
            span_verbose("%s; going on with one node", why);
        else
            span_warn("%s; going on with one node", why);
        node_count = 1;
    }
    unsigned cpus[NODES_MAX];
    for (unsigned i = 0; i < node_count; i++)
        cpus[i] = nodes[i].cpu_count;
    view_initialise(node_count, cpus);
    session_pin_home();
    clock_processors(view_processor_first(HOME_NODE), nodes[HOME_NODE].cpu_count);
}

int session_processor(unsigned number)
{
    unsigned count = (unsigned)CPU_COUNT(&processors_allowed), local = configuration.local;
    unsigned rank = count < local ? number % count : number;
    if (number >= (count < local ? local : count))
        return -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &processors_allowed) && rank-- == 0)
            return i;
    return -1;
}

void session_pin_home(void)
{
    if (session_shared() && configuration.pin && (session_distributed() || !atomic_load(&use_tried)))
        sched_setaffinity(0, sizeof nodes[HOME_NODE].cpus, &nodes[HOME_NODE].cpus);
}

void session_unpin(void)
{
    if (node_count > 1)
        sched_setaffinity(0, sizeof processors_allowed, &processors_allowed);
}

/* ---- bringing peers into use ----------------------------------------------------------------------------------------
 */

static const struct pager_callbacks callbacks = {.node_lost = session_node_lost, .question = report_question};

static void peer_unusable(unsigned node, const char *why)
{
    span_warn("node %u (%s) cannot be brought into use: %s; going on without it", node, nodes[node].name, why);
}

/* A channel to the peer for its engine; NULL, and the user has been told why, when there is none. */
static struct channel *peer_connect(unsigned node)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    struct channel *engine = NULL;
    struct wire_welcome welcome;
    int result = nodes[node].local ? session_local_start(&nodes[node], node, &engine, why)
                                   : peer_greet(node, WIRE_KIND_SESSION, &engine, &welcome, why);
    if (result == 0)
        return engine;
    peer_unusable(node, why[0] ? why : strerror(-result));
    return NULL;
}

static bool peer_ready(unsigned node, struct channel *engine)
{
    struct wire_ready ready;
    int result = channel_receive_bytes(engine, &ready, sizeof ready, configuration.timeout_ms);
    if (result == 0 && ready.magic == WIRE_MAGIC && ready.status == WIRE_OK)
        return true;
    ready.message[WIRE_MESSAGE_BYTES - 1] = 0;
    peer_unusable(node, result == -EPIPE ? "the connection ended" : result < 0 ? strerror(-result) : ready.message);
    return false;
}

/* The peer has got neither a thread nor a page of the program yet. */
static void peer_dismiss(unsigned node, struct channel *engine)
{
    channel_send(engine, WIRE_QUIT, NULL, 0);
    channel_close(engine);
    if (!nodes[node].local)
        return;
    descriptor_close(nodes[node].thread_socket);
    session_local_wait(&nodes[node], 1000);
}

/* The program's memory under userfaultfd, and the engine that answers for it. */
static bool engine_start(void)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    struct pager_configuration pager = {.node = HOME_NODE,
                                        .compress = configuration.compress,
                                        .no_ahead = configuration.no_ahead,
                                        .nodes_here = (1ull << configuration.local) - 1,
                                        .callbacks = &callbacks,
                                        .fd_floor = (int)fdguard_floor()};
    if (configuration.trace_file[0] && pager_trace_start() < 0)
        span_warn("no memory to record a trace in: there will be none");
    if (pager_start(&pager, why) < 0) {
        span_warn("%s; going on with one node", why);
        return false;
    }
    int result = space_distribute();
    if (result < 0)
        span_warn("cannot put the program's memory under userfaultfd: %s; going on with one node", strerror(-result));
    return result == 0;
}

/* The nodes that are in use then, a bit each. All that can fail comes before the first of them gets anything. */
static uint64_t use_now(void)
{
    struct channel *engines[NODES_MAX] = {NULL};
    uint64_t connected = 0;
    /* Peers on this machine are copies of this process: make them while it has no engine yet. */
    space_copy_prevent();
    for (unsigned node = 1; node < node_count; node++)
        if (nodes[node].local)
            engines[node] = peer_connect(node);
    space_copy_allow();
    for (unsigned node = 1; node < node_count; node++)
        if (!nodes[node].local)
            engines[node] = peer_connect(node);
    for (unsigned node = 1; node < node_count; node++) {
        if (engines[node] == NULL)
            continue;
        if (peer_ready(node, engines[node])) {
            connected |= 1ull << node;
            continue;
        }
        peer_dismiss(node, engines[node]);
        engines[node] = NULL;
    }
    bool started = connected != 0 && engine_start();
    for (unsigned node = 1; node < node_count; node++) {
        if (engines[node] == NULL)
            continue;
        if (started) {
            int result = pager_add_node(node, engines[node]);
            SPAN_ASSERT(result == 0);
            span_verbose("node %u (%s) is in use", node, nodes[node].name);
        } else {
            peer_dismiss(node, engines[node]);
        }
    }
    return started ? connected | 1ull << HOME_NODE : 1ull << HOME_NODE;
}

static bool thread_unpin(struct thread *thread, void *unused)
{
    (void)unused;
    if (thread->tid == 0) /* it is being made, and inherits this */
        return true;
    sched_setaffinity(thread->tid, sizeof processors_allowed, &processors_allowed);
    view_affinity_bind(thread->tid);
    return true;
}

/* Home gets the processors that the peers on this machine would have had, and their numbers. */
static void processors_take(void)
{
    unsigned count = 0;
    for (unsigned node = 0; node < configuration.local; node++)
        count += nodes[node].cpu_count;
    sched_setaffinity(0, sizeof processors_allowed, &processors_allowed);
    clock_processors(0, count);
    thread_each(thread_unpin, NULL);
}

uint64_t session_nodes_usable(void)
{
    return atomic_load(&usable);
}

bool session_use(unsigned node)
{
    if (!session_shared())
        return node == HOME_NODE;
    if (!atomic_load(&use_tried)) {
        pthread_mutex_lock(&use_lock);
        if (!atomic_load(&use_tried)) {
            session_pin_home(); /* the monitor's own threads, which inherit it */
            uint64_t used = use_now();
            atomic_store(&usable, used);
            atomic_store(&in_use, used != 1ull << HOME_NODE);
            atomic_store(&use_tried, true);
            if (!session_distributed())
                processors_take();
            else if (configuration.balance)
                balance_start();
            if (session_distributed())
                clock_bind(0, thread_self()->processors);
        }
        pthread_mutex_unlock(&use_lock);
    }
    return atomic_load(&usable) >> node & 1;
}

bool session_use_hold(void)
{
    pthread_mutex_lock(&use_lock);
    return session_distributed();
}

void session_use_release(void)
{
    pthread_mutex_unlock(&use_lock);
}

struct channel *session_channel_take(unsigned node)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    struct channel *channel = NULL;
    pthread_mutex_lock(&pool_lock);
    struct pooled *entry = pool[node];
    if (entry)
        pool[node] = entry->next;
    pthread_mutex_unlock(&pool_lock);
    if (entry) {
        channel = entry->channel;
        free(entry);
        return channel;
    }
    int result;
    if (nodes[node].local)
        result = session_local_thread(&nodes[node], &channel, why);
    else
        result = channel_connect(nodes[node].name, WIRE_KIND_THREAD, session_id, key, configuration.timeout_ms,
                                 (int)fdguard_floor(), &channel, why);
    if (result < 0) {
        static _Atomic bool told;
        if (!atomic_exchange(&told, true))
            span_warn("node %s: %s; threads stay on this node", nodes[node].name, why[0] ? why : strerror(-result));
        return NULL;
    }
    return channel;
}

void session_channel_give(unsigned node, struct channel *channel)
{
    struct pooled *entry = malloc(sizeof *entry);
    SPAN_ASSERT(entry);
    entry->channel = channel;
    pthread_mutex_lock(&pool_lock);
    entry->next = pool[node];
    pool[node] = entry;
    pthread_mutex_unlock(&pool_lock);
}

void session_fork_child(void)
{
    session_unpin();
    span_stderr_keep(-1); /* closed */
    lonely = true;
    for (unsigned node = 0; node < node_count; node++)
        nodes[node].pid = 0; /* its parent's children */
    session_end_prepare();
    session_place_prepare();
    unsigned processors = (unsigned)CPU_COUNT(&processors_allowed);
    view_initialise(1, &processors);
    atomic_store(&in_use, false);
    atomic_store(&use_tried, false);
    pthread_mutex_init(&use_lock, NULL);
    pthread_mutex_init(&pool_lock, NULL);
    memset(pool, 0, sizeof pool);
}

void session_name_program(const char *name)
{
    snprintf(configuration.program, sizeof configuration.program, "%s", name);
}

unsigned session_node_cpus(unsigned node)
{
    return nodes[node].cpu_count;
}

const char *session_node_name(unsigned node)
{
    return nodes[node].name;
}
