/*
 * Jobs: what other threads ask of the loop, posted without a lock, waited for by spinning a little
 * and then sleeping. Not for what a job does (runtime/pager.c).
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pager_private.h"

#define PAGER_JOB_PENDING 0u
#define PAGER_JOB_DONE    1u
#define PAGER_JOB_SLEEPER 2u /* pending, and its poster sleeps */

#define JOB_SPIN_NS 30000 /* a round trip between two nodes that are awake */

static const char *job_name(enum pager_job_type type)
{
    switch (type) {
    case PAGER_JOB_ADD_NODE:
        return "joining a node";
    case PAGER_JOB_DROP:
        return "drop";
    case PAGER_JOB_PROTECT:
        return "protect";
    case PAGER_JOB_RECALL:
        return "recall";
    case PAGER_JOB_FREEZE:
        return "freeze";
    case PAGER_JOB_THAW:
        return "thaw";
    case PAGER_JOB_INTERRUPT:
        return "interrupt";
    case PAGER_JOB_GUARD:
        return "guard";
    case PAGER_JOB_WRITABLE:
        return "making a page writable";
    case PAGER_JOB_WANT:
        return "want";
    case PAGER_JOB_MOVE:
        return "move";
    case PAGER_JOB_STATISTICS:
        return "statistics";
    case PAGER_JOB_QUESTION:
        return "question";
    }
    return "job";
}

static void job_push(struct pager_queue *queue, struct pager_job *job)
{
    struct pager_job *head = atomic_load_explicit(&queue->posted, memory_order_relaxed);
    do
        job->next = head;
    while (!atomic_compare_exchange_weak(&queue->posted, &head, job));
    /* Both sides are sequentially consistent: either the loop sees the job before it sleeps, or
     * this sees it asleep. */
    if (atomic_load(&queue->asleep) != 0) {
        uint64_t one = 1;
        while (write(queue->event, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
}

void pager_job_post(struct pager_queue *queue, struct pager_job *job)
{
    job_push(queue, job);
}

void pager_job_wait(struct pager_queue *queue, struct pager_job *job)
{
    atomic_init(&job->done, PAGER_JOB_PENDING);
    uint64_t posted_ns = pager_now_ns();
    job_push(queue, job);
    while (pager_now_ns() - posted_ns < JOB_SPIN_NS) {
        if (atomic_load_explicit(&job->done, memory_order_acquire) == PAGER_JOB_DONE)
            return;
        sched_yield(); /* the loop may need this processor */
    }
    uint64_t warned_ns = posted_ns;
    uint32_t pending = PAGER_JOB_PENDING;
    if (!atomic_compare_exchange_strong(&job->done, &pending, PAGER_JOB_SLEEPER))
        return;
    while (atomic_load_explicit(&job->done, memory_order_acquire) != PAGER_JOB_DONE) {
        struct timespec timeout = {.tv_sec = 1};
        syscall(SYS_futex, &job->done, FUTEX_WAIT_PRIVATE, PAGER_JOB_SLEEPER, &timeout, NULL, 0);
        uint64_t now = pager_now_ns();
        if (now - warned_ns < PAGER_WATCHDOG_NS)
            continue;
        warned_ns = now;
        if (atomic_load_explicit(&job->done, memory_order_acquire) != PAGER_JOB_DONE)
            pager_warn("%s of 0x%lx-0x%lx: waits for nodes 0x%lx since %lu s", job_name(job->type), job->start,
                       job->end, job->nodes, (now - posted_ns) / 1000000000u);
    }
}

struct pager_job *pager_job_take(struct pager_queue *queue)
{
    if (atomic_load(&queue->posted) == NULL)
        return NULL;
    struct pager_job *newest = atomic_exchange(&queue->posted, NULL);
    struct pager_job *oldest = NULL;
    while (newest != NULL) {
        struct pager_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void pager_job_finish(struct pager_job *job)
{
    if (job->type == PAGER_JOB_INTERRUPT || job->type == PAGER_JOB_WANT || job->type == PAGER_JOB_MOVE) {
        free(job);
        return;
    }
    _Atomic uint32_t *done = &job->done;
    /* After the exchange the job is its poster's again; waking an address that is no longer a job's
     * does no harm. */
    if (atomic_exchange(done, PAGER_JOB_DONE) == PAGER_JOB_SLEEPER)
        syscall(SYS_futex, done, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
