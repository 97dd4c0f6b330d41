/*
 * The pager's interface: starting the loop and handing it jobs.
 * Not for what the loop does with them (runtime/pager.c).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/descriptor.h"
#include "runtime/pager_private.h"

#define HOLD_NS 50000u /* a woken thread has run its instruction by then, nearly always */

#define LOOP_STACK_BYTES (512u * 1024u)

static struct pager pager;
static _Atomic bool running;
static _Atomic bool guarded; /* also before it runs, and in a child of fork */

int pager_probe(char why[WIRE_MESSAGE_BYTES])
{
    struct userfault userfault;
    int error = userfault_open(&userfault, 0, why);
    if (error == 0)
        userfault_close(&userfault);
    return error;
}

/* Faults of the loop itself must end the process with a report, every other signal belongs to the
 * program's threads. */
static int loop_create(pthread_t *thread)
{
    sigset_t blocked, before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGFPE);
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    pthread_attr_setstacksize(&attributes, LOOP_STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_sigmask(SIG_SETMASK, &blocked, &before);
    if (error == 0) {
        error = pthread_create(thread, &attributes, pager_loop, &pager);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    if (error == 0)
        pthread_setname_np(*thread, "ld-span pager");
    return -error;
}

static void plain_job(enum pager_job_type type)
{
    if (!pager_running())
        return;
    struct pager_job job = {.type = type};
    pager_job_wait(&pager.queue, &job);
}

int pager_start(const struct pager_configuration *configuration, char why[WIRE_MESSAGE_BYTES])
{
    if (atomic_load(&running))
        return -EALREADY;
    PAGER_ASSERT(configuration->node < NODES_MAX && configuration->callbacks != NULL);
    memset(&pager, 0, sizeof pager);
    pager.configuration = *configuration;
    pager.queue.event = -1;
    int error = userfault_open(&pager.userfault, configuration->fd_floor, why);
    if (error != 0)
        return error;
    pager.queue.event = descriptor_raise(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), configuration->fd_floor);
    if (pager.queue.event < 0) {
        error = errno != 0 ? -errno : -EMFILE;
        snprintf(why, WIRE_MESSAGE_BYTES, "eventfd: %s%s", strerror(-error),
                 error == -EMFILE ? " (raise ulimit -n)" : "");
        goto failed;
    }
    pager.coherence = coherence_create(configuration->node, &pager_operations, &pager,
                                       configuration->hold_ns != 0 ? configuration->hold_ns : HOLD_NS);
    if (pager.coherence == NULL) {
        error = -ENOMEM;
        snprintf(why, WIRE_MESSAGE_BYTES, "no memory for the directory of pages");
        goto failed;
    }
    error = pager_pack_open(&pager);
    if (error != 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "no memory to pack pages in");
        goto failed;
    }
    pthread_t thread;
    error = loop_create(&thread);
    if (error != 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "thread of the pager: %s", strerror(-error));
        goto failed;
    }
    atomic_store(&running, true);
    if (atomic_load(&guarded))
        plain_job(PAGER_JOB_GUARD);
    return 0;
failed:
    pager_pack_close(&pager);
    if (pager.coherence != NULL)
        coherence_destroy(pager.coherence);
    if (pager.queue.event >= 0)
        descriptor_close(pager.queue.event);
    userfault_close(&pager.userfault);
    return error;
}

bool pager_running(void)
{
    return atomic_load(&running);
}

int pager_add_node(unsigned node, struct channel *channel)
{
    if (!pager_running())
        return -ESRCH;
    if (node >= NODES_MAX || node == pager.configuration.node ||
        (pager.configuration.node != HOME_NODE && node != HOME_NODE))
        return -EINVAL;
    struct pager_job job = {.type = PAGER_JOB_ADD_NODE, .node = node, .channel = channel};
    pager_job_wait(&pager.queue, &job);
    return 0;
}

static bool range_valid(uint64_t start, uint64_t end)
{
    return start % PAGE_BYTES == 0 && end % PAGE_BYTES == 0 && start < end && end <= SPAN_ZONE_END;
}

int pager_register(uint64_t start, uint64_t bytes)
{
    if (!pager_running())
        return -ESRCH;
    if (bytes > SPAN_ZONE_END || !range_valid(start, start + bytes))
        return -EINVAL;
    if (pager.configuration.node != HOME_NODE) {
        pager_file_remove(start, start + bytes);
        int error = pager_ahead_add(start, start + bytes);
        if (error != 0)
            return error;
    }
    pager_window_mapped();
    return userfault_register(&pager.userfault, start, bytes, true);
}

int pager_register_file(uint64_t start, uint64_t bytes)
{
    if (!pager_running())
        return -ESRCH;
    if (bytes > SPAN_ZONE_END || !range_valid(start, start + bytes))
        return -EINVAL;
    pager_ahead_remove(start, start + bytes);
    int error = pager_file_add(start, start + bytes);
    return error != 0 ? error : userfault_register(&pager.userfault, start, bytes, false);
}

static void range_job(enum pager_job_type type, uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes)
{
    if (!pager_running())
        return; /* no peer ever saw the range */
    PAGER_ASSERT(range_valid(start, end));
    struct pager_job job = {.type = type, .start = start, .end = end, .protection = protection, .nodes = nodes};
    pager_job_wait(&pager.queue, &job);
}

void pager_drop(uint64_t start, uint64_t end, uint64_t nodes)
{
    range_job(PAGER_JOB_DROP, start, end, 0, nodes);
}

void pager_protect(uint64_t start, uint64_t end, uint32_t protection, uint64_t nodes)
{
    range_job(PAGER_JOB_PROTECT, start, end, protection, nodes);
}

void pager_recall(uint64_t start, uint64_t end, uint64_t nodes)
{
    range_job(PAGER_JOB_RECALL, start, end, 0, nodes);
}

void pager_freeze(void)
{
    plain_job(PAGER_JOB_FREEZE);
}

void pager_thaw(void)
{
    plain_job(PAGER_JOB_THAW);
}

void pager_guard(void)
{
    static _Atomic bool told; /* the loop; also when it does not run yet */
    if (atomic_load(&told))
        return;
    atomic_store(&guarded, true);
    plain_job(PAGER_JOB_GUARD);
    atomic_store(&told, true);
}

void pager_interrupt(unsigned node, uint32_t thread)
{
    if (!pager_running() || node >= NODES_MAX)
        return;
    struct pager_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        pager_fatal("interrupt: out of memory");
    job->type = PAGER_JOB_INTERRUPT;
    job->node = node;
    job->thread = thread;
    pager_job_post(&pager.queue, job);
}

/* A job about pages that need not be done; NULL: it is not. */
static struct pager_job *pages_job(enum pager_job_type type, const uint64_t *addresses, unsigned count)
{
    PAGER_ASSERT(count <= PAGER_WANT_MAX);
    struct pager_job *job = pager_running() && count != 0 ? calloc(1, sizeof *job) : NULL;
    if (job == NULL)
        return NULL;
    job->type = type;
    memcpy(job->pages, addresses, count * sizeof *addresses);
    job->page_count = count;
    return job;
}

void pager_make_writable(uint64_t address)
{
    if (!pager_running() || address < SPAN_ZONE_START || address >= SPAN_ZONE_END)
        return;
    struct pager_job job = {.type = PAGER_JOB_WRITABLE, .start = address};
    pager_job_wait(&pager.queue, &job);
}

void pager_want(const uint64_t *addresses, unsigned count, uint64_t writes)
{
    struct pager_job *job = pages_job(PAGER_JOB_WANT, addresses, count);
    if (job == NULL)
        return; /* they come when they are touched */
    job->writes = writes;
    pager_job_post(&pager.queue, job);
}

void pager_move(const uint64_t *addresses, unsigned count, unsigned node)
{
    struct pager_job *job = pages_job(PAGER_JOB_MOVE, addresses, count);
    if (job == NULL)
        return;
    job->node = node;
    pager_job_post(&pager.queue, job);
}

void pager_statistics(struct wire_statistics statistics[NODES_MAX], bool quit, int timeout_ms)
{
    memset(statistics, 0, NODES_MAX * sizeof *statistics);
    if (!pager_running())
        return;
    struct pager_job job = {
        .type = PAGER_JOB_STATISTICS,
        .statistics = statistics,
        .quit = quit,
        .deadline_ns = pager_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u,
    };
    pager_job_wait(&pager.queue, &job);
}

ssize_t pager_question(unsigned node, uint32_t what, void *answer, size_t room, int timeout_ms)
{
    struct pager_job job = {
        .type = PAGER_JOB_QUESTION,
        .node = node,
        .what = what,
        .answer = answer,
        .answer_room = room,
        .answer_bytes = -ETIMEDOUT,
        .deadline_ns = pager_now_ns() + (uint64_t)timeout_ms * 1000000u,
    };
    if (!pager_running())
        return -ETIMEDOUT;
    pager_job_wait(&pager.queue, &job);
    return job.answer_bytes;
}

uint64_t pager_waits_since(uint64_t address)
{
    return pager_clock_since(&pager, address >> PAGE_SHIFT);
}

void pager_forget(void)
{
    if (!atomic_exchange(&running, false))
        return;
    /* Only descriptors are the child's own: the heap may be locked, and a channel_close would say
     * farewell to the peer. */
    for (unsigned node = 0; node < NODES_MAX; node++) {
        if (pager.nodes[node].channel != NULL)
            descriptor_close(channel_fd(pager.nodes[node].channel));
    }
    descriptor_close(pager.queue.event);
    userfault_close(&pager.userfault);
    memset(&pager, 0, sizeof pager);
    pager_file_forget();
    pager_ahead_forget();
    pager_recent_forget();
    pager_foreign_forget();
    pager_trace_forget();
}
