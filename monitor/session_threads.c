/*
 * Every thread of the session and where it is, for spanctl stack. Runs in the thread that serves spanctl.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/report.h"
#include "monitor/session_private.h"
#include "monitor/thread.h"
#include "runtime/pager.h"
#include "syscall/table.h"

#define LOOK_US    100000 /* for the threads to look where they are */
#define TIMEOUT_MS 1000   /* for a node to tell */

struct all {
    json_t *list;
    struct wire_thread_report *reports[NODES_MAX];
    size_t counts[NODES_MAX];
};

static const struct wire_thread_report *report_of(const struct all *all, const struct thread *thread)
{
    for (size_t i = 0; i < all->counts[thread->node]; i++)
        if (all->reports[thread->node][i].thread == thread->number)
            return &all->reports[thread->node][i];
    return NULL;
}

static void call_add(json_t *entry, uint64_t number, const uint64_t arguments[6])
{
    const char *name = number < CALL_COUNT ? call_table[number].name : NULL;
    json_object_set_new(entry, "call", name ? json_string(name) : json_sprintf("call_%lu", number));
    json_t *list = json_array();
    for (unsigned i = 0; i < 6; i++)
        json_array_append_new(list, json_integer((json_int_t)arguments[i]));
    json_object_set_new(entry, "arguments", list);
}

static bool thread_add(struct thread *thread, void *argument)
{
    static const char *const names[] = {"silent", "runs", "call", "silent"};
    const struct all *all = argument;
    const struct wire_thread_report *report = report_of(all, thread);
    json_t *entry = json_pack("{s:i, s:i}", "tid", (int)thread->tid, "node", (int)thread->node);
    struct wire_call call = {0};
    bool at_home = thread->node != HOME_NODE && atomic_load(&thread->activity) == THREAD_IN_CALL;
    if (at_home) /* of a thread on a peer */
        memcpy(&call, thread->context, sizeof call);
    const char *state = report && report->state <= WIRE_THREAD_SILENT ? names[report->state] : "silent";
    json_object_set_new(entry, "state", json_string(at_home ? "call" : state));
    if (at_home)
        call_add(entry, call.number, call.arguments);
    else if (report && report->state != WIRE_THREAD_RUNS)
        call_add(entry, report->call, report->arguments);
    if (report) {
        json_t *registers = json_array();
        for (unsigned i = 0; i < WIRE_REPORT_REGISTERS; i++)
            json_array_append_new(registers, json_integer((json_int_t)report->registers[i]));
        json_object_set_new(entry, "registers", registers);
    }
    if (report && report->waits_address) {
        json_object_set_new(entry, "waits_address", json_integer((json_int_t)report->waits_address));
        json_object_set_new(entry, "waits_ns", json_integer((json_int_t)report->waits_ns));
    }
    json_array_append_new(all->list, entry);
    return true;
}

static void reports_collect(struct all *all, unsigned node)
{
    const size_t room = WIRE_FRAME_BYTES_MAX / sizeof(struct wire_thread_report);
    all->reports[node] = calloc(room, sizeof(struct wire_thread_report));
    if (all->reports[node] == NULL)
        return;
    if (!session_distributed()) {
        all->counts[node] = report_take(all->reports[node], room, false);
        return;
    }
    ssize_t bytes = pager_question(node, WIRE_QUESTION_THREADS, all->reports[node],
                                   room * sizeof(struct wire_thread_report), TIMEOUT_MS);
    all->counts[node] = bytes > 0 ? (size_t)bytes / sizeof(struct wire_thread_report) : 0;
}

char *session_threads_json(void)
{
    static struct all all;
    memset(&all, 0, sizeof all);
    all.list = json_array();
    unsigned nodes = session_distributed() ? session_node_count() : 1;
    report_ask();
    for (unsigned node = 1; node < nodes; node++)
        pager_question(node, WIRE_QUESTION_LOOK, NULL, 0, TIMEOUT_MS);
    usleep(LOOK_US);
    for (unsigned node = 0; node < nodes; node++)
        reports_collect(&all, node);
    thread_each(thread_add, &all);
    json_t *names = json_array();
    for (unsigned node = 0; node < nodes; node++) {
        json_array_append_new(names, json_string(session_node_name(node)));
        free(all.reports[node]);
    }
    json_t *answer = json_pack("{s:i, s:s, s:o, s:o}", "pid", (int)getpid(), "program",
                               session_configuration()->program, "nodes", names, "threads", all.list);
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    return text;
}
