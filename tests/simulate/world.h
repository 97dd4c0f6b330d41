/*
 * A session of up to 64 nodes that replays a trace: the real engine of runtime/coherence.h on each node, over a network
 * and processors that are models. Not for reading traces (trace.h) nor for printing (simulate.c).
 */
#ifndef SIMULATE_WORLD_H
#define SIMULATE_WORLD_H

#include <stdint.h>

#include "tests/simulate/trace.h"

/* What things take. Times in nanoseconds. */
struct world_model {
    uint64_t latency_ns; /* of the network, one way, both kernels' part included */
    double gbit;         /* of each node's link, each way */
    double compute;      /* what threads take between faults, as a part of what they took when recorded */
    uint64_t fault_ns;   /* from the exception until the engine loop has it */
    uint64_t wake_ns;    /* from waking a thread until it runs */
    uint64_t call_ns;    /* a system call that sends or receives: one for each channel in each turn of the loop */
    uint64_t frame_ns;   /* the engine's work on a frame or a fault */
    uint64_t page_ns;    /* one page installed, moved away or read */
    uint64_t hold_ns;    /* for which a page stays where it was granted, docs/coherence.md */
    uint64_t protect_ns; /* one page's protection changed, or pages removed: the other processors are told */
};

extern const struct world_model world_model_default;

struct world_result {
    unsigned copies; /* of the trace's threads, the last perhaps not whole */
    uint64_t asks;   /* accesses replayed */
    uint64_t faults; /* of them those that had to ask the directory */
    uint64_t messages, bytes;
    uint64_t mean_ns, p50_ns, p99_ns; /* of a fault, from the exception until the thread runs */
    uint64_t shared_ns;               /* mean of those on pages that several peers ask for */
    uint64_t time_ns;                 /* until the last access */
    double home_busy, link_busy; /* part of the time for which home's loop was at work, its link carried something */
    double home_full, link_full; /* part of the stretches of 10 ms in which they did for 90 % and more */
    double page_wanted;          /* part of the time for which somebody waited for the most wanted page */
    double peer_busy;            /* the loop of the busiest peer */
};

/* Replays the trace on `nodes` nodes, 2 to NODES_MAX. Ends the process when the protocol fails. */
void world_run(const struct trace *trace, const struct world_model *model, unsigned nodes, struct world_result *result);

#endif
