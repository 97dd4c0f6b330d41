/*
 * A trace of --trace=FILE as something that can be replayed: for each node of the recording its steps, and after which
 * earlier one each began. Not for replaying: world.h. The format: docs/simulation.md.
 */
#ifndef SIMULATE_TRACE_H
#define SIMULATE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/wire.h"

#define TRACE_NONE UINT32_MAX

enum trace_kind { TRACE_ASK, TRACE_DROP, TRACE_BRING };

struct trace_step {
    uint64_t think_ns;    /* from the answer to `after`, or from the start */
    uint64_t nodes;       /* of a range: nodes of the recording that are told, a bit mask */
    uint32_t after;       /* step of the same actor that had been answered last, TRACE_NONE: the start */
    uint32_t first, next; /* the steps after this one, a list */
    uint32_t page, end;   /* indices in trace.pages; of a range the end, which may be equal */
    uint8_t kind;         /* enum trace_kind */
    bool write;
};

/* A node of the recording. */
struct trace_actor {
    struct trace_step *steps;
    uint32_t count, capacity;
    uint32_t first; /* the steps that come after nothing, a list */
};

struct trace_page {
    uint64_t number;
    uint64_t nodes; /* that asked for it, a bit mask */
    bool data;      /* its first answer had contents */
    bool answered;
};

struct trace {
    unsigned node_count;
    uint64_t left_out, duration_ns;
    uint32_t asks;
    uint32_t page_count;
    struct trace_page *pages; /* by number */
    struct trace_actor actors[NODES_MAX];
};

/* Reads all of `file`. `way_ns` is what a request and its answer were under way when the trace was recorded, and is not
 * counted as thinking. 0, or -EPROTO or -ENOMEM with a line in `why`; then nothing is to be freed. */
int trace_read(FILE *file, uint64_t way_ns, struct trace *trace, char why[WIRE_MESSAGE_BYTES]);
void trace_free(struct trace *trace);
/* Have at least two peers asked for the page? */
bool trace_page_shared(const struct trace_page *page);

#endif
