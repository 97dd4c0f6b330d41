/*
 * Calls that only the driver can judge or that we have no command for. They go to the driver at
 * once, on the application's own queue, so that the answer, errors included, is the driver's; the
 * engine knows them as commands in their place. Not for the calls themselves (foreign_calls.c).
 *
 * Unless a user event of the application holds it back, the caller waits until the call's place in
 * the order has come. If one does, waiting could last for ever: the driver gets a user event of
 * ours to wait for, which is set when the place has come.
 */
#include "coproc/opencl/layer.h"

/* A queue that is not known here: everything ends first, the driver judges the rest. */
static void foreign_unknown(cl_uint count, const cl_event *list)
{
    coproc_drain(engine);
    for (cl_uint i = 0; list && i < count; i++) {
        struct event *event = event_find(list[i]);
        struct coproc_command *command = event ? event_command(event) : NULL;
        if (command)
            coproc_wait_commands(&command, 1, COPROC_WAIT_REAL);
    }
}

/* Until the call's place has come; or the user event for which the driver shall wait instead. */
static cl_event foreign_wait(struct coproc_command *command, cl_context context)
{
    struct work *work = work_of(command);
    cl_int error;
    bool come = coproc_wait_submitted(command);
    if (come && !coproc_command_wait_failed(command))
        return NULL;
    cl_event gate = real->clCreateUserEvent(context, &error);
    if (!gate)
        return NULL;
    work->foreign.gate = gate;
    if (come) { /* the driver's own event shall fail as well */
        real->clSetUserEventStatus(gate, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
        return gate;
    }
    int expected = FOREIGN_WAITS;
    if (!atomic_compare_exchange_strong(&work->foreign.state, &expected, FOREIGN_GATED))
        foreign_open(command); /* its place has come meanwhile */
    return gate;
}

/* The command of the call, or NULL when the driver is to refuse it or the queue is not ours. */
static struct coproc_command *foreign_new(struct foreign *foreign, cl_command_queue native, cl_uint count,
                                          const cl_event *list, unsigned flags)
{
    static const cl_event no_event;
    struct queue *queue = queue_find(native);
    *foreign = (struct foreign){.queue = queue, .event = &foreign->native};
    if (!queue) {
        foreign_unknown(count, list);
        return NULL;
    }
    switch (waits_judge(queue->context, count, list)) {
    case WAITS_GOOD:
        break;
    case WAITS_EMPTY_LIST: /* the driver says what it says to that */
        foreign->count = count;
        foreign->list = list;
        return NULL;
    default: /* one event too few: of another context or none at all */
        foreign->count = 1;
        foreign->list = &no_event;
        return NULL;
    }
    flags |= COPROC_INLINE | COPROC_HOST_VISIBLE;
    struct coproc_command *command = coproc_command_new(engine, queue->stream, flags, "call");
    foreign->command = command;
    work_of(command)->kind = WORK_FOREIGN;
    work_of(command)->station = queue->station;
    waits_add(command, count, list);
    return command;
}

static void foreign_place(struct foreign *foreign)
{
    coproc_command_enqueue(foreign->command);
    cl_event gate = foreign_wait(foreign->command, foreign->queue->context);
    if (!gate)
        return;
    foreign->wait[0] = gate;
    foreign->count = 1;
    foreign->list = foreign->wait;
}

void foreign_begin(struct foreign *foreign, cl_command_queue native, cl_uint count, const cl_event *list,
                   unsigned flags)
{
    if (foreign_new(foreign, native, count, list, flags | COPROC_UNKNOWN))
        foreign_place(foreign);
}

void foreign_begin_memory(struct foreign *foreign, cl_command_queue native, cl_uint count, const cl_event *list,
                          struct memory *memory, uint64_t offset, uint64_t size, unsigned access)
{
    unsigned flags = memory ? memory_flags(memory) : COPROC_UNKNOWN;
    struct coproc_command *command = foreign_new(foreign, native, count, list, flags);
    if (!command)
        return;
    if (memory)
        memory_access(command, memory, offset, size, access);
    foreign_place(foreign);
}

/* The driver has refused the call: its command ends as if it had not been. */
static void foreign_cancel(struct coproc_command *command)
{
    int expected = FOREIGN_WAITS;
    if (!atomic_compare_exchange_strong(&work_of(command)->foreign.state, &expected, FOREIGN_CANCELLED))
        coproc_command_done(command, 0);
}

cl_int foreign_end(struct foreign *foreign, cl_int error, bool blocking, cl_command_type type, cl_event *event)
{
    struct coproc_command *command = foreign->command;
    struct queue *queue = foreign->queue;
    cl_context context = NULL;
    if (!command) {
        if (error != CL_SUCCESS || !foreign->native)
            return error;
        /* On a queue that we do not know, or with a wait list that only the driver likes: it ends
         * before anything else. */
        real->clWaitForEvents(1, &foreign->native);
        real->clGetEventInfo(foreign->native, CL_EVENT_CONTEXT, sizeof context, &context, NULL);
        if (event)
            *event = event_new(NULL, foreign->native, context, NULL, type, true);
        else
            real->clReleaseEvent(foreign->native);
        return error;
    }
    if (error == CL_SUCCESS && foreign->native) {
        if (event)
            *event = event_new(command, NULL, queue->context, queue->native, type, queue->profiling);
        real->clFlush(queue->native);
        if (submit_watch(command, foreign->native) != CL_SUCCESS) {
            real->clWaitForEvents(1, &foreign->native);
            coproc_command_done(command, 0);
        }
        if (blocking && coproc_wait_commands(&command, 1, COPROC_WAIT_MODE) < 0)
            error = CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    } else {
        foreign_cancel(command);
    }
    coproc_command_unref(command);
    return error;
}
