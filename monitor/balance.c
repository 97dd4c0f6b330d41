/*
 * Balance: a thread at home compares, for each peer, the processor time of the program's threads there with the pages
 * that moved. Twice in a row below the line, and all threads of that node come home; new ones keep away from it for a
 * while.
 */
#include "monitor/balance.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "monitor/clock.h"
#include "monitor/fatal.h"
#include "monitor/session_private.h"
#include "monitor/shadow.h"
#include "monitor/thread.h"
#include "monitor/view.h"

#define INTERVAL_MS     200
#define EVENTS_MIN      150 /* faults and recalls in an interval, below which sharing costs little */
#define COMPUTES_MIN    20  /* percent of what they could have had of the processors that threads have to compute */
#define STRIKES         2
#define THREADS_AT_ONCE 256

struct sample {
    uint64_t events, program_us, cpu_us, idle_us, at_ns;
};

struct gathering {
    unsigned node;
    size_t count;
    pid_t tids[THREADS_AT_ONCE];
};

static bool gather(struct thread *thread, void *argument)
{
    struct gathering *all = argument;
    bool may_leave = view_affinity_nodes(thread->tid) & 1ull << HOME_NODE;
    if (thread->node == all->node && may_leave && all->count < THREADS_AT_ONCE)
        all->tids[all->count++] = thread->tid;
    return true;
}

static void bring_home(unsigned node)
{
    static struct gathering all;
    all.node = node;
    all.count = 0;
    thread_each(gather, &all);
    if (all.count == 0)
        return;
    session_avoid(node);
    span_verbose("node %u: %zu threads only wait for pages there: they come home", node, all.count);
    for (size_t i = 0; i < all.count; i++)
        shadow_migrate(all.tids[i], HOME_NODE);
}

/* What others have taken of the node's processors: a thread that waits for them does not wait for pages. */
static uint64_t foreign_us(const struct sample *before, const struct sample *now, uint64_t all_us)
{
    uint64_t ours_us = now->cpu_us - before->cpu_us, idle = now->idle_us - before->idle_us;
    return now->idle_us == 0 || ours_us + idle > all_us ? 0 : all_us - ours_us - idle;
}

/* Do the threads of the node hardly compute, for pages that move? */
static bool wasted(const struct sample *before, const struct sample *now, unsigned node)
{
    unsigned threads = session_node_threads(node), cpus = session_node_cpus(node);
    uint64_t interval_us = (now->at_ns - before->at_ns) / 1000;
    if (threads == 0 || now->events - before->events < EVENTS_MIN * interval_us / (INTERVAL_MS * 1000))
        return false;
    uint64_t possible_us = interval_us * cpus - foreign_us(before, now, interval_us * cpus);
    if (possible_us > interval_us * threads)
        possible_us = interval_us * threads;
    return (now->program_us - before->program_us) * 100 < possible_us * COMPUTES_MIN;
}

static void *loop(void *unused)
{
    static struct wire_statistics nodes[NODES_MAX];
    static struct sample before[NODES_MAX];
    static unsigned strikes[NODES_MAX];
    (void)unused;
    prctl(PR_SET_NAME, "ld-span balance");
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = INTERVAL_MS * 1000000L}, NULL);
        if (!session_statistics_read(nodes))
            return NULL;
        for (unsigned node = 1; node < session_node_count(); node++) {
            struct sample now = {
                .events = nodes[node].faults_read + nodes[node].faults_write + nodes[node].faults_upgrade +
                          nodes[node].recalls,
                .program_us = nodes[node].program_us,
                .cpu_us = nodes[node].cpu_user_us + nodes[node].cpu_system_us,
                .idle_us = nodes[node].idle_us,
                .at_ns = clock_now_ns(),
            };
            bool bad = before[node].at_ns && wasted(&before[node], &now, node);
            strikes[node] = bad ? strikes[node] + 1 : 0;
            before[node] = now;
            if (strikes[node] >= STRIKES) {
                strikes[node] = 0;
                bring_home(node);
            }
        }
    }
}

void balance_start(void)
{
    sigset_t all, old;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, loop, NULL) != 0)
        span_verbose("no thread to watch the balance");
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
