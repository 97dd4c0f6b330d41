/*
 * What a session tells spanctl, and what it does for it.
 */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/control.h"
#include "monitor/fatal.h"
#include "monitor/fdguard.h"
#include "monitor/session_private.h"
#include "monitor/shadow.h"
#include "monitor/thread.h"

#define ALONE_TRIES 100 /* of a millisecond */

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
        .threads = session_threads_json,
        .migrate = shadow_migrate,
    };
    int result = control_start(&operations, fdguard_move);
    if (result < 0)
        span_verbose("spanctl will not find this session: no socket can be made below %s: %s (set XDG_RUNTIME_DIR to a "
                     "directory of yours)",
                     getenv("XDG_RUNTIME_DIR") ? getenv("XDG_RUNTIME_DIR") : "/tmp", strerror(-result));
}

/* The kernel counts a thread for a moment longer than its end can be waited for. */
static bool is_alone(void)
{
    for (int tries = 0; tries < ALONE_TRIES; tries++) {
        struct stat tasks;
        if (stat("/proc/self/task", &tasks) != 0 || tasks.st_nlink == 3)
            return true;
        usleep(1000);
    }
    return false;
}

long session_call_alone(uint64_t number, const uint64_t a[6])
{
    long result = syscall_interruptible((long)number, a);
    if (result != -EINVAL || thread_count() != 1 || !session_shared() || session_distributed())
        return result;
    control_end();
    if (is_alone())
        result = syscall_interruptible((long)number, a);
    session_control_start();
    return result;
}

bool session_make_room(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool told;
    if (pthread_mutex_trylock(&lock) != 0)
        return false; /* another thread does, or did when this process was forked */
    if (session_distributed() && !told)
        span_warn("no process is left to make a thread, and some are the session's own (raise ulimit -u)");
    told |= session_distributed();
    bool gave = control_end();
    pthread_mutex_unlock(&lock);
    return gave;
}
