/*
 * Figures of a session: this node's, and at home those of all nodes, asked for and collected.
 * Not for printing them.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/pager_private.h"

void pager_statistics_fill(struct pager *pager, struct wire_statistics *statistics)
{
    struct rusage usage;
    struct coherence_counters counters;
    memset(statistics, 0, sizeof *statistics);
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        statistics->cpu_user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
        statistics->cpu_system_us = (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
    }
    coherence_counters_read(pager->coherence, &counters);
    statistics->faults_read = counters.faults_read;
    statistics->faults_write = counters.faults_write;
    statistics->faults_upgrade = counters.faults_upgrade;
    statistics->pages_in = counters.pages_in;
    statistics->pages_out = counters.pages_out;
    statistics->pages_zero = counters.pages_zero;
    statistics->recalls = counters.recalls;
    statistics->pages_file = pager->pages_file;
    statistics->bytes_in = pager->bytes_in;
    statistics->bytes_out = pager->bytes_out;
    statistics->bytes_saved = pager->bytes_saved;
    memcpy(statistics->fault_latency, pager->fault_latency, sizeof statistics->fault_latency);
    if (pager->configuration.callbacks->statistics != NULL)
        pager->configuration.callbacks->statistics(statistics);
}

void pager_statistics_start(struct pager *pager, struct pager_job *job)
{
    pager_statistics_fill(pager, &job->statistics[pager->configuration.node]);
    job->nodes = 0;
    for (unsigned node = 0; node < NODES_MAX; node++) {
        if (pager->nodes[node].channel == NULL || pager->nodes[node].error != 0)
            continue;
        job->nodes |= 1ull << node;
        if (job->quit)
            pager->nodes[node].quitting = true;
        pager_send(pager, node, job->quit ? WIRE_QUIT : WIRE_STATISTICS_REQUEST, NULL, 0, NULL, 0);
    }
    if (job->nodes == 0) {
        pager_job_finish(job);
        return;
    }
    job->next = pager->statistics;
    pager->statistics = job;
}

/* Takes `node` off what jobs wait for, and finishes those that wait for nobody. */
static void statistics_settle(struct pager *pager, uint64_t nodes, const struct wire_statistics *answer)
{
    struct pager_job **link = &pager->statistics;
    while (*link != NULL) {
        struct pager_job *job = *link;
        if (answer != NULL && (job->nodes & nodes) != 0)
            job->statistics[__builtin_ctzll(nodes)] = *answer;
        job->nodes &= ~nodes;
        if (job->nodes != 0) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        pager_job_finish(job);
    }
}

int pager_statistics_answer(struct pager *pager, unsigned from, const void *payload, size_t bytes)
{
    struct wire_statistics answer;
    if (bytes != sizeof answer)
        return -EPROTO;
    memcpy(&answer, payload, sizeof answer);
    statistics_settle(pager, 1ull << from, &answer);
    return 0;
}

void pager_statistics_node_lost(struct pager *pager, unsigned node)
{
    statistics_settle(pager, 1ull << node, NULL);
}

uint64_t pager_statistics_expire(struct pager *pager, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    struct pager_job **link = &pager->statistics;
    while (*link != NULL) {
        struct pager_job *job = *link;
        if (job->deadline_ns > now_ns) {
            if (job->deadline_ns < next_ns)
                next_ns = job->deadline_ns;
            link = &job->next;
            continue;
        }
        *link = job->next;
        pager_job_finish(job);
    }
    return next_ns;
}
