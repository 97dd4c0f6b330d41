/*
 * Replays a trace on more and more nodes and prints a table, which tests/simulate/plot draws.
 * Usage: simulate TRACE [NAME=VALUE]...; names: nodes (2,3,4,...), latency_us, gbit, hold_us, compute and loop
 * (percent), way_us.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulate/world.h"

#define COUNTS_MAX 32u
#define PAGE_HOT   0.75 /* of the time somebody waits for the same page */
#define SATURATED  0.5  /* of the time it has no time left */

struct request {
    struct world_model model;
    uint64_t way_ns;
    unsigned nodes[COUNTS_MAX], count;
};

static void nodes_parse(struct request *request, const char *text)
{
    request->count = 0;
    while (*text != '\0' && request->count < COUNTS_MAX) {
        char *end;
        unsigned long nodes = strtoul(text, &end, 10);
        if (end == text || nodes < 2 || nodes > NODES_MAX) {
            fprintf(stderr, "simulate: nodes=%s: give numbers from 2 to %d with commas between\n", text, NODES_MAX);
            exit(2);
        }
        request->nodes[request->count++] = (unsigned)nodes;
        text = *end == ',' ? end + 1 : end;
    }
}

static void setting_parse(struct request *request, const char *argument)
{
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) : 0;
    char *end = NULL;
    double value = equals != NULL ? strtod(equals + 1, &end) : 0;
    struct world_model *model = &request->model;
#define IS(name) (length == strlen(name) && memcmp(argument, name, length) == 0)
    if (IS("nodes")) {
        nodes_parse(request, equals + 1);
        return;
    }
    if (equals == NULL || end == equals + 1 || *end != '\0' || !(value >= 0 && value <= 1e6)) {
        fprintf(stderr, "simulate: %s: not NAME=NUMBER\n", argument);
        exit(2);
    }
    if (IS("latency_us")) {
        model->latency_ns = (uint64_t)(value * 1000);
    } else if (IS("gbit") && value > 0) {
        model->gbit = value;
    } else if (IS("hold_us") && value > 0) {
        model->hold_ns = (uint64_t)(value * 1000);
    } else if (IS("compute")) {
        model->compute = value / 100;
    } else if (IS("way_us")) {
        request->way_ns = (uint64_t)(value * 1000);
    } else if (IS("loop")) {
        model->call_ns = (uint64_t)((double)model->call_ns * value / 100);
        model->frame_ns = (uint64_t)((double)model->frame_ns * value / 100);
        model->page_ns = (uint64_t)((double)model->page_ns * value / 100);
        model->protect_ns = (uint64_t)((double)model->protect_ns * value / 100);
    } else {
        fprintf(stderr, "simulate: %s: no such setting\n", argument);
        exit(2);
    }
#undef IS
}

static void table_print(const struct trace *trace, const struct request *request)
{
    unsigned saturated = 0;
    const char *what = "";
    printf(
        "# latency %.0f us, %g Gbit/s, a system call %.1f us, a page %.1f us, a protection %.1f us, compute %.0f %%\n",
        (double)request->model.latency_ns / 1e3, request->model.gbit, (double)request->model.call_ns / 1e3,
        (double)request->model.page_ns / 1e3, (double)request->model.protect_ns / 1e3, 100 * request->model.compute);
    printf("%5s %6s %8s %9s %9s %9s %8s %9s %8s %8s %6s %6s %6s %6s %6s %6s %9s\n", "nodes", "copies", "faults",
           "faults/s", "msg/fault", "B/fault", "mean_us", "shared_us", "p50_us", "p99_us", "home%", "full%", "link%",
           "lfull%", "page%", "peer%", "time_ms");
    for (unsigned i = 0; i < request->count; i++) {
        struct world_result result;
        world_run(trace, &request->model, request->nodes[i], &result);
        double faults = result.faults != 0 ? (double)result.faults : 1;
        printf("%5u %6u %8lu %9.0f %9.2f %9.0f %8.0f %9.0f %8.0f %8.0f %6.1f %6.1f %6.1f %6.1f %6.1f %6.1f %9.1f\n",
               request->nodes[i], result.copies, result.faults, faults * 1e9 / (double)result.time_ns,
               (double)result.messages / faults, (double)result.bytes / faults, (double)result.mean_ns / 1e3,
               (double)result.shared_ns / 1e3, (double)result.p50_ns / 1e3, (double)result.p99_ns / 1e3,
               100 * result.home_busy, 100 * result.home_full, 100 * result.link_busy, 100 * result.link_full,
               100 * result.page_wanted, 100 * result.peer_busy, (double)result.time_ns / 1e6);
        fflush(stdout);
        const char *limit = result.home_full >= SATURATED    ? "home's loop"
                            : result.link_full >= SATURATED  ? "home's link"
                            : result.page_wanted >= PAGE_HOT ? "one page"
                                                             : NULL;
        if (saturated == 0 && limit != NULL) {
            saturated = request->nodes[i];
            what = limit;
        }
    }
    if (saturated != 0)
        printf("# saturated at %u nodes: %s\n", saturated, what);
    else
        printf("# not saturated\n");
}

int main(int argc, char *argv[])
{
    struct request request = {
        .model = world_model_default, .way_ns = 30000, .nodes = {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}, .count = 11};
    char why[WIRE_MESSAGE_BYTES];
    static struct trace trace;
    if (argc < 2) {
        fprintf(stderr, "usage: simulate TRACE [nodes=2,3,...] [latency_us=N] [gbit=N] [hold_us=N] [compute=PERCENT] "
                        "[loop=PERCENT] [way_us=N]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        setting_parse(&request, argv[i]);
    FILE *file = fopen(argv[1], "re");
    if (file == NULL) {
        fprintf(stderr, "simulate: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    if (trace_read(file, request.way_ns, &trace, why) < 0) {
        fprintf(stderr, "simulate: %s: %s\n", argv[1], why);
        return 1;
    }
    fclose(file);
    uint32_t shared = 0;
    for (uint32_t i = 0; i < trace.page_count; i++)
        shared += trace_page_shared(&trace.pages[i]);
    printf("# trace: %u nodes, %u requests, %u pages, %u of them asked for by several peers, %.0f ms, %lu left out\n",
           trace.node_count, trace.asks, trace.page_count, shared, (double)trace.duration_ns / 1e6, trace.left_out);
    if (trace.node_count < 2) {
        fprintf(stderr, "simulate: %s: the program never used a peer: nothing to replay\n", argv[1]);
        return 1;
    }
    table_print(&trace, &request);
    trace_free(&trace);
    return 0;
}
