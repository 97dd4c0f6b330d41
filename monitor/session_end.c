/*
 * How a session ends: with the program, whose peers are told and waited for, or because a node is lost; and the
 * statistics of all nodes, which are told then.
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/calls.h"
#include "monitor/clock.h"
#include "monitor/control.h"
#include "monitor/fatal.h"
#include "monitor/process.h"
#include "monitor/session_private.h"
#include "monitor/signal.h"
#include "monitor/statistics.h"
#include "monitor/thread.h"
#include "runtime/pager.h"

#define END_WAIT_MS   1000
#define LOST_WAIT_MS  100
#define VFORK_WAIT_MS 500

static uint64_t start_ns;
static pid_t home_pid;
static bool is_child; /* by a fork of the program's: it has said nothing, and says nothing at its end */
/* Ends once, one way or the other. */
static _Atomic enum phase {
    PHASE_RUNS,
    PHASE_ENDS, /* the program has ended, and peers are told to go */
    PHASE_LOST, /* a node is lost, and who found it says so */
} phase;

static pthread_mutex_t statistics_lock = PTHREAD_MUTEX_INITIALIZER;

void session_end_prepare(void)
{
    is_child = home_pid != 0;
    home_pid = getpid();
    start_ns = clock_now_ns();
    atomic_store(&phase, PHASE_RUNS);
    pthread_mutex_init(&statistics_lock, NULL);
}

/* True to the first who wants the session to end in this way; to all others it ends already. */
static bool phase_enter(enum phase wanted)
{
    enum phase runs = PHASE_RUNS;
    return atomic_compare_exchange_strong(&phase, &runs, wanted);
}

static _Noreturn void lost_end(unsigned node, const char *what)
{
    char line[512], how[64] = "";
    int status = session_local_wait(session_node(node), LOST_WAIT_MS);
    if (status >= 0 && WIFSIGNALED(status))
        snprintf(how, sizeof how, " (its process was killed by signal %d)", WTERMSIG(status));
    else if (status >= 0)
        snprintf(how, sizeof how, " (its process ended with status %d)", WEXITSTATUS(status));
    snprintf(line, sizeof line, "lost node %u (%s): %s%s", node, session_node_name(node), what, how);
    span_warn("%s", line);
    if (session_configuration()->statistics && session_configuration()->statistics_file[0])
        statistics_write_error(session_configuration()->program, getpid(), line,
                               session_configuration()->statistics_file);
    for (;;)
        syscall(SYS_exit_group, SPAN_EXIT_FAILURE);
}

_Noreturn void session_lost(unsigned node, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (phase_enter(PHASE_LOST))
        lost_end(node, what);
    for (;;)
        pause();
}

/* The loop goes on when the program ends: who ends it waits for an answer of the loop. */
void session_node_lost(unsigned node, size_t pages_lost)
{
    char what[128];
    snprintf(what, sizeof what, "the connection ended, and with it %zu pages whose only copy was there", pages_lost);
    if (phase_enter(PHASE_LOST))
        lost_end(node, what);
    while (atomic_load(&phase) == PHASE_LOST) /* or the program would get zeros for what is lost */
        pause();
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void own_usage(struct wire_statistics *statistics)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    statistics->cpu_user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
    statistics->cpu_system_us = (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
}

static void statistics_collect(struct statistics_session *out, struct wire_statistics all[NODES_MAX], bool quit)
{
    static const char *names[NODES_MAX];
    memset(all, 0, sizeof(struct wire_statistics) * NODES_MAX);
    if (session_distributed()) {
        pthread_mutex_lock(&statistics_lock);
        pager_statistics(all, quit, 2000);
        pthread_mutex_unlock(&statistics_lock);
    } else
        own_usage(&all[HOME_NODE]);
    uint64_t unused;
    struct wire_statistics *home = &all[HOME_NODE];
    call_counters(&home->calls_local, &unused, home->call_latency);
    home->threads_run = session_node_placed(HOME_NODE);
    for (unsigned i = 0; i < session_node_count(); i++)
        names[i] = session_node_name(i);
    for (unsigned i = 1; i < session_node_count(); i++) {
        home->migrations_in += all[i].migrations_out;
        home->migrations_out += all[i].migrations_in;
    }
    *out = (struct statistics_session){
        .program = session_configuration()->program,
        .pid = getpid(),
        .node_count = session_distributed() ? session_node_count() : 1,
        .names = names,
        .nodes = all,
        .wall_seconds = (double)(clock_now_ns() - start_ns) / 1e9,
    };
}

void session_statistics(struct statistics_session *session, struct wire_statistics all[NODES_MAX])
{
    statistics_collect(session, all, false);
}

bool session_statistics_read(struct wire_statistics all[NODES_MAX])
{
    pthread_mutex_lock(&statistics_lock);
    bool going = atomic_load(&phase) == PHASE_RUNS;
    if (going)
        pager_statistics(all, false, 1000);
    pthread_mutex_unlock(&statistics_lock);
    return going;
}

/* ---- with the program ------------------------------------------------------------------------ */

bool session_is_ending(void)
{
    return atomic_load(&phase) == PHASE_ENDS && getpid() == home_pid;
}

void session_stop_at_end(void)
{
    while (session_is_ending())
        pause();
}

static bool thread_stop(struct thread *thread, void *self)
{
    if (thread != self && !thread->foreign)
        signal_interrupt(thread->tid);
    return true;
}

static void trace_write(void)
{
    int result =
        pager_trace_write(session_configuration()->trace_file, session_distributed() ? session_node_count() : 1);
    if (result < 0)
        span_warn("no trace was written to %s: %s (choose another file with --trace=FILE)",
                  session_configuration()->trace_file, strerror(-result));
}

/* Until `end_ns`: all peers go at the same time. */
static void peer_wait(struct session_node *node, uint64_t end_ns)
{
    uint64_t now_ns = clock_now_ns();
    session_local_wait(node, now_ns < end_ns ? (int)((end_ns - now_ns) / 1000000u) : 0);
}

void session_end(void)
{
    static struct wire_statistics all[NODES_MAX];
    const struct session_configuration *configuration = session_configuration();
    struct statistics_session session;
    control_stop();
    bool nothing = !configuration->statistics && !configuration->trace_file[0] && !session_distributed();
    if (nothing || is_child || getpid() != home_pid) /* the last: a process of the program's in the same memory */
        return;
    while (!phase_enter(PHASE_ENDS))
        pause(); /* another thread ends the program already, with its status */
    /* All that follows takes milliseconds, in which no other thread may do what natively it could not do any more. */
    thread_each(thread_stop, thread_self());
    process_await_vforks(VFORK_WAIT_MS);
    if (configuration->trace_file[0])
        trace_write();
    if (configuration->statistics)
        statistics_collect(&session, all, true);
    else
        pager_statistics(all, true, 0); /* tells the peers, and waits for none */
    if (configuration->statistics && configuration->statistics_file[0])
        statistics_write_json(&session, configuration->statistics_file);
    else if (configuration->statistics)
        statistics_print(&session);
    uint64_t end_ns = clock_now_ns() + END_WAIT_MS * 1000000ull;
    for (unsigned node = 1; node < session_node_count(); node++)
        peer_wait(session_node(node), end_ns);
}

bool session_peers_tell(char *text, size_t size)
{
    size_t used = 0;
    for (unsigned node = 1; node < session_node_count() && getpid() == home_pid; node++) {
        if (session_node(node)->pid == 0 || used + 16 > size)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%d,", (int)session_node(node)->pid);
    }
    return used != 0;
}

void session_peers_told(const char *text)
{
    uint64_t end_ns = clock_now_ns() + END_WAIT_MS * 1000000ull;
    for (int length; *text; text += length) {
        struct session_node left = {0};
        length = 0;
        if (sscanf(text, "%d,%n", &left.pid, &length) != 1 || length == 0)
            return;
        peer_wait(&left, end_ns);
    }
}
