/*
 * Events: ours, because a call is answered before the driver has one. Not for when something has
 * happened (the engine).
 */
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

#define MAGIC 0x7370616e65766e74u /* "spanevnt" */

struct callback {
    void(CL_CALLBACK *function)(cl_event event, cl_int status, void *data);
    cl_int type;
    void *data;
    struct callback *next;
};

struct event {
    const cl_icd_dispatch *dispatch; /* where the loader looks for it */
    uint64_t magic;
    _Atomic unsigned refs;
    struct coproc_command *command; /* referenced; NULL: `native` had ended when the event was made */
    cl_event native;                /* of that kind only */
    cl_context context;
    cl_command_queue queue;
    cl_command_type type;
    bool profiling, user;
    _Atomic bool set; /* user events: has its status */
    pthread_mutex_t lock;
    struct callback *callbacks, **callbacks_end;
};

cl_event event_new(struct coproc_command *command, cl_event native, cl_context context, cl_command_queue queue,
                   cl_command_type type, bool profiling)
{
    struct event *event = layer_memory(sizeof *event);
    *event = (struct event){.dispatch = &layer_table,
                            .magic = MAGIC,
                            .refs = 1,
                            .command = command,
                            .native = native,
                            .context = context,
                            .queue = queue,
                            .type = type,
                            .profiling = profiling};
    pthread_mutex_init(&event->lock, NULL);
    event->callbacks_end = &event->callbacks;
    if (command) {
        coproc_command_ref(command);
        work_of(command)->event = event;
    }
    return (cl_event)(void *)event;
}

struct event *event_find(cl_event handle)
{
    struct event *event = (struct event *)(void *)handle;
    return event && !((uintptr_t)event & 7) && event->magic == MAGIC ? event : NULL;
}

struct coproc_command *event_command(struct event *event)
{
    return event->command;
}

cl_context event_context(const struct event *event)
{
    return event->context;
}

static void event_unref(struct event *event)
{
    if (atomic_fetch_sub(&event->refs, 1) != 1)
        return;
    event->magic = 0;
    /* Nobody can set it any more. */
    if (event->user && !event->set)
        coproc_command_done(event->command, CL_INVALID_EVENT);
    if (event->command)
        coproc_command_unref(event->command);
    if (event->native)
        real->clReleaseEvent(event->native);
    pthread_mutex_destroy(&event->lock);
    free(event);
}

/* ---- wait lists --------------------------------------------------------------------------------
 */

enum waits waits_judge(cl_context context, cl_uint count, const cl_event *list)
{
    if (!count != !list)
        return WAITS_EMPTY_LIST;
    for (cl_uint i = 0; i < count; i++) {
        const struct event *event = event_find(list[i]);
        if (!event)
            return WAITS_BAD_EVENT;
        if (event->context != context)
            return WAITS_BAD_CONTEXT;
    }
    return WAITS_GOOD;
}

void waits_add(struct coproc_command *command, cl_uint count, const cl_event *list)
{
    for (cl_uint i = 0; i < count; i++) {
        struct event *event = event_find(list[i]);
        if (event->command)
            coproc_command_wait(command, event->command);
    }
}

cl_int layer_clWaitForEvents(cl_uint count, const cl_event *list)
{
    if (!count || !list)
        return CL_INVALID_VALUE;
    const struct event *first = event_find(list[0]);
    switch (waits_judge(first ? first->context : NULL, count, list)) {
    case WAITS_BAD_CONTEXT:
        return CL_INVALID_CONTEXT;
    case WAITS_GOOD:
        break;
    default:
        return CL_INVALID_EVENT;
    }
    struct coproc_command *few[16], **commands = few;
    size_t pending = 0;
    if (count > 16)
        commands = layer_memory(count * sizeof *commands);
    for (cl_uint i = 0; i < count; i++)
        if (event_find(list[i])->command)
            commands[pending++] = event_find(list[i])->command;
    int status = coproc_wait_commands(commands, pending, COPROC_WAIT_MODE);
    if (commands != few)
        free(commands);
    return status < 0 ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : CL_SUCCESS;
}

/* ---- what an event tells ------------------------------------------------------------------------
 */

static cl_int event_status(struct event *event)
{
    cl_int status = CL_COMPLETE;
    if (!event->command) {
        real->clGetEventInfo(event->native, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
        return status;
    }
    switch (coproc_command_state(event->command, &status)) {
    case COPROC_COMPLETE:
        return status;
    case COPROC_SUBMITTED:
        return CL_SUBMITTED;
    default:
        return event->user ? CL_SUBMITTED : CL_QUEUED;
    }
}

cl_int layer_clGetEventInfo(cl_event handle, cl_event_info name, size_t room, void *value, size_t *size_ret)
{
    struct event *event = event_find(handle);
    cl_int status;
    cl_uint refs;
    if (!event)
        return CL_INVALID_EVENT;
    switch (name) {
    case CL_EVENT_COMMAND_QUEUE:
        return info_return(&event->queue, sizeof event->queue, room, value, size_ret);
    case CL_EVENT_CONTEXT:
        return info_return(&event->context, sizeof event->context, room, value, size_ret);
    case CL_EVENT_COMMAND_TYPE:
        return info_return(&event->type, sizeof event->type, room, value, size_ret);
    case CL_EVENT_COMMAND_EXECUTION_STATUS:
        status = event_status(event);
        return info_return(&status, sizeof status, room, value, size_ret);
    case CL_EVENT_REFERENCE_COUNT:
        refs = event->refs;
        return info_return(&refs, sizeof refs, room, value, size_ret);
    default:
        return CL_INVALID_VALUE;
    }
}

/* After an early answer the event is complete for the application, so this waits until it is. */
cl_int layer_clGetEventProfilingInfo(cl_event handle, cl_profiling_info name, size_t room, void *value,
                                     size_t *size_ret)
{
    struct event *event = event_find(handle);
    if (!event)
        return CL_INVALID_EVENT;
    if (event->user || !event->profiling || event_status(event) > CL_COMPLETE)
        return CL_PROFILING_INFO_NOT_AVAILABLE;
    cl_event native = event->native;
    if (event->command) {
        coproc_wait_commands(&event->command, 1, COPROC_WAIT_REAL);
        native = work_of(event->command)->native;
    }
    return native ? real->clGetEventProfilingInfo(native, name, room, value, size_ret)
                  : CL_PROFILING_INFO_NOT_AVAILABLE;
}

cl_int layer_clRetainEvent(cl_event handle)
{
    struct event *event = event_find(handle);
    if (!event)
        return CL_INVALID_EVENT;
    atomic_fetch_add(&event->refs, 1);
    return CL_SUCCESS;
}

cl_int layer_clReleaseEvent(cl_event handle)
{
    struct event *event = event_find(handle);
    if (!event)
        return CL_INVALID_EVENT;
    event_unref(event);
    return CL_SUCCESS;
}

/* ---- callbacks
 * ------------------------------------------------------------------------------------ */

static void callback_call(struct event *event, const struct callback *callback, int status)
{
    coproc_callback_enter();
    callback->function((cl_event)(void *)event, status < 0 ? status : callback->type, callback->data);
    coproc_callback_leave();
}

/* Each holds a reference of the event. Those for earlier states are called here too: before the one
 * for the end. */
void event_retired(struct event *event, int status)
{
    for (;;) {
        pthread_mutex_lock(&event->lock);
        struct callback **next = &event->callbacks, **best = next;
        for (; *next; next = &(*next)->next)
            if ((*next)->type > (*best)->type)
                best = next;
        struct callback *callback = *best;
        if (callback) {
            *best = callback->next;
            if (!callback->next)
                event->callbacks_end = best;
        }
        pthread_mutex_unlock(&event->lock);
        if (!callback)
            return;
        callback_call(event, callback, status);
        free(callback);
        event_unref(event);
    }
}

cl_int layer_clSetEventCallback(cl_event handle, cl_int type, void(CL_CALLBACK *function)(cl_event, cl_int, void *),
                                void *data)
{
    struct event *event = event_find(handle);
    if (!event)
        return CL_INVALID_EVENT;
    if (!function || type < CL_COMPLETE || type > CL_SUBMITTED)
        return CL_INVALID_VALUE;
    struct callback *callback = layer_memory(sizeof *callback);
    *callback = (struct callback){function, type, data, NULL};
    atomic_fetch_add(&event->refs, 1);
    pthread_mutex_lock(&event->lock);
    *event->callbacks_end = callback;
    event->callbacks_end = &callback->next;
    pthread_mutex_unlock(&event->lock);
    if (!event->command || !coproc_command_show(event->command))
        event_retired(event, event_status(event));
    return CL_SUCCESS;
}

/* ---- user events
 * ------------------------------------------------------------------------------------ */

cl_event layer_clCreateUserEvent(cl_context context, cl_int *error_ret)
{
    cl_int error;
    cl_event probe = real->clCreateUserEvent(context, &error); /* for its judgement of the context */
    if (error_ret)
        *error_ret = error;
    if (error != CL_SUCCESS || !probe)
        return NULL;
    real->clReleaseEvent(probe);
    struct coproc_command *command = coproc_command_new(engine, NULL, COPROC_GATE, "user event");
    cl_event handle = event_new(command, NULL, context, NULL, CL_COMMAND_USER, false);
    event_find(handle)->user = true;
    coproc_command_unref(command);
    return handle;
}

cl_int layer_clSetUserEventStatus(cl_event handle, cl_int status)
{
    struct event *event = event_find(handle);
    if (!event || !event->user)
        return CL_INVALID_EVENT;
    if (status > CL_COMPLETE)
        return CL_INVALID_VALUE;
    if (atomic_exchange(&event->set, true))
        return CL_INVALID_OPERATION;
    coproc_command_done(event->command, status);
    return CL_SUCCESS;
}

static cl_event event_adopt(cl_event native, cl_context context)
{
    cl_command_type type = 0;
    if (!native)
        return NULL;
    real->clWaitForEvents(1, &native);
    real->clGetEventInfo(native, CL_EVENT_COMMAND_TYPE, sizeof type, &type, NULL);
    return event_new(NULL, native, context, NULL, type, false);
}

cl_event layer_clCreateEventFromGLsyncKHR(cl_context context, cl_GLsync sync, cl_int *error_ret)
{
    return event_adopt(real->clCreateEventFromGLsyncKHR(context, sync, error_ret), context);
}

cl_event layer_clCreateEventFromEGLSyncKHR(cl_context context, CLeglSyncKHR sync, CLeglDisplayKHR display,
                                           cl_int *error_ret)
{
    return event_adopt(real->clCreateEventFromEGLSyncKHR(context, sync, display, error_ret), context);
}
