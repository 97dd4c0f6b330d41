/*
 * How the loop waits between turns: spins, then sleeps.
 * Not for what it does when something has come (runtime/pager.c).
 *
 * It polls while something came recently, yielding the processor between polls, and learns from
 * each pause whether that pays: the time it polls grows when the next event came soon and shrinks
 * when it came late. A yield that takes long shows that somebody else wants this processor. Then
 * sleeping is cheap, since nothing has to leave an idle state: the rest of that pause is slept.
 * When the other one computes and kept the processor for its slice, the next pauses are slept as
 * well: a wake-up preempts where a poll would wait for its turn.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/pager_private.h"

#define SPIN_MAX_NS    200000u /* twice what waking an idle processor costs on a virtual machine */
#define SPIN_MIN_NS    2000u
#define SPIN_FIRST_NS  50000u
#define TICK_SOON_NS   20000u /* a timer is not worth setting for less */
#define YIELD_FIRST_NS 3000u
#define SHARED_FACTOR  4u      /* a yield that takes so many times the shortest one ran somebody else */
#define COMPUTED_NS    300000u /* a yield that takes longer ran somebody who computes */
#define PENALTY_MIN    16u     /* pauses slept at once after that; doubles each time */
#define PENALTY_MAX    1024u
#define TIMER_SLACK_NS 1000ul  /* hold times are shorter than the usual 50 us */
#define SLICE_NS       100000u /* the least there is */
#define NO_POLL_NS     50000

/*
 * Asks for short slices, with the nice value unchanged: among threads that compute, one with a
 * short slice runs soon after it wakes. sched(7) knows this since Linux 6.12; others ignore or
 * refuse it.
 */
static void wait_slice_shorten(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes;
    if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 || attributes.policy != SCHED_OTHER)
        return;
    attributes.runtime_ns = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/*
 * Where others compute on this processor, a wake-up in the usual class waits for the end of their slice, milliseconds
 * that a thread on another node waits too. For as long as the pauses are slept, the loop runs in a real-time class
 * where that is permitted (CAP_SYS_NICE or RLIMIT_RTPRIO): it needs some 20 us for a message, and never polls in that
 * class.
 */
static void wait_class_set(struct pager *pager, bool realtime)
{
    struct sched_param priority = {.sched_priority = realtime ? 1 : 0};
    if (pager->realtime == realtime || pager->realtime_refused)
        return;
    if (sched_setscheduler(0, realtime ? SCHED_FIFO : SCHED_OTHER, &priority) != 0) {
        pager->realtime_refused = true;
        return;
    }
    pager->realtime = realtime;
    if (!realtime)
        wait_slice_shorten();
}

void pager_wait_start(struct pager *pager)
{
    pager->idle_since_ns = pager_now_ns();
    pager->spin_ns = SPIN_FIRST_NS;
    pager->yield_ns = YIELD_FIRST_NS;
    pager->penalty = PENALTY_MIN;
    wait_slice_shorten();
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
}

void pager_wait_active(struct pager *pager, uint64_t now_ns)
{
    if (now_ns - pager->idle_since_ns <= SPIN_MAX_NS)
        pager->spin_ns += pager->spin_ns / 4;
    else
        pager->spin_ns -= pager->spin_ns / 4;
    if (pager->spin_ns > SPIN_MAX_NS)
        pager->spin_ns = SPIN_MAX_NS;
    if (pager->spin_ns < SPIN_MIN_NS)
        pager->spin_ns = SPIN_MIN_NS;
    if (pager->penalty_left != 0 && --pager->penalty_left == 0)
        wait_class_set(pager, false);
    pager->shared = false;
    pager->idle_since_ns = now_ns;
}

static void wait_mark_all(struct pager *pager)
{
    pager->ready = true;
    for (unsigned node = 0; node < NODES_MAX; node++)
        pager->nodes[node].ready = pager->nodes[node].channel != NULL;
}

bool pager_wait_spin(struct pager *pager, uint64_t now_ns)
{
    bool soon = now_ns - pager->idle_since_ns < pager->spin_ns || pager->tick_due_ns <= now_ns + TICK_SOON_NS;
    if (!soon || pager->penalty_left != 0 || pager->shared)
        return false;
    sched_yield();
    uint64_t taken_ns = pager_now_ns() - now_ns;
    if (taken_ns < pager->yield_ns)
        pager->yield_ns = taken_ns;
    pager->shared = taken_ns > SHARED_FACTOR * pager->yield_ns;
    if (taken_ns > COMPUTED_NS) {
        pager->penalty_left = pager->penalty;
        wait_class_set(pager, true);
        if (pager->penalty < PENALTY_MAX)
            pager->penalty *= 2;
    } else if (pager->penalty > PENALTY_MIN) {
        pager->penalty--;
    }
    wait_mark_all(pager);
    return true;
}

void pager_wait_sleep(struct pager *pager, uint64_t now_ns)
{
    struct pollfd waits[NODES_MAX + 2];
    struct pager_node *nodes[NODES_MAX + 2];
    nfds_t count = 0;
    waits[count++] = (struct pollfd){.fd = pager->userfault.fd, .events = POLLIN};
    waits[count++] = (struct pollfd){.fd = pager->queue.event, .events = POLLIN};
    for (unsigned node = 0; node < NODES_MAX && count < pager->node_count + 2; node++) {
        struct pager_node *at = &pager->nodes[node];
        if (at->channel == NULL)
            continue;
        nodes[count] = at;
        waits[count++] =
            (struct pollfd){.fd = channel_fd(at->channel), .events = (short)(at->unsent ? POLLIN | POLLOUT : POLLIN)};
    }
    uint64_t due_ns = pager_statistics_expire(pager, now_ns), question_ns = pager_question_expire(pager, now_ns);
    if (question_ns < due_ns)
        due_ns = question_ns;
    if (pager->tick_due_ns < due_ns)
        due_ns = pager->tick_due_ns;
    if (due_ns > now_ns + PAGER_WATCHDOG_NS)
        due_ns = now_ns + PAGER_WATCHDOG_NS;
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u), .tv_nsec = (long)(wait_ns % 1000000000u)};
    int result = 0;
    atomic_store(&pager->queue.asleep, 1);
    if (atomic_load(&pager->queue.posted) == NULL)
        result = ppoll(waits, count, &timeout, NULL);
    atomic_store(&pager->queue.asleep, 0);
    if (result < 0 && errno != EINTR) {
        /* The program may have lowered RLIMIT_NOFILE below the number of descriptors here. */
        clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = NO_POLL_NS}, NULL);
        wait_mark_all(pager);
        return;
    }
    pager->ready = waits[0].revents != 0;
    for (nfds_t i = 2; i < count; i++)
        nodes[i]->ready = (waits[i].revents & ~POLLOUT) != 0;
    if ((waits[1].revents & POLLIN) != 0) {
        uint64_t value;
        while (read(pager->queue.event, &value, sizeof value) < 0 && errno == EINTR)
            ;
    }
}
