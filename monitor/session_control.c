/*
 * What a session tells spanctl, and what it does for it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "monitor/control.h"
#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/session_private.h"
#include "monitor/shadow.h"
#include "monitor/thread.h"

static const char *activity_name(int activity)
{
    switch (activity) {
    case THREAD_SHADOWS:
        return "away";
    case THREAD_IN_CALL:
        return "call";
    default:
        return "home";
    }
}

static bool thread_add(struct thread *thread, void *list)
{
    json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:I}", "tid", (int)thread->tid, "node", (int)thread->node,
                                          "state", activity_name(atomic_load(&thread->activity)), "calls",
                                          (json_int_t)thread->calls_local));
    return true;
}

static char *status(void)
{
    json_t *threads = json_array(), *list = json_array();
    thread_each(thread_add, threads);
    for (unsigned i = 0; i < session_node_count(); i++)
        json_array_append_new(list, json_pack("{s:i, s:s, s:i}", "node", (int)i, "name", session_node_name(i),
                                              "threads", (int)session_node_threads(i)));
    json_t *all =
        json_pack("{s:i, s:s, s:b, s:o, s:o}", "pid", (int)getpid(), "program", session_configuration()->program,
                  "distributed", session_distributed(), "nodes", list, "threads", threads);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

static char *statistics(void)
{
    static struct wire_statistics nodes[NODES_MAX];
    struct statistics_session session;
    session_statistics(&session, nodes);
    return statistics_json(&session);
}

void session_control_start(void)
{
    static const struct control_operations operations = {
        .status = status,
        .statistics = statistics,
        .migrate = shadow_migrate,
    };
    int result = control_start(&operations, fdguard_move);
    if (result < 0)
        span_verbose("no control socket for spanctl: error %d", -result);
}
