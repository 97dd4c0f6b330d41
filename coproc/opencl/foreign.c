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

void foreign_begin(struct foreign *foreign, cl_command_queue native, cl_uint count,
                   const cl_event *list, struct memory *memory, uint64_t offset, uint64_t size,
                   unsigned access)
{
    static const cl_event no_event;
    struct queue *queue = queue_find(native);
    *foreign = (struct foreign){.queue = queue, .event = &foreign->native};
    if (!queue) {
        foreign_unknown(count, list);
        return;
    }
    switch (waits_judge(queue->context, count, list)) {
    case WAITS_GOOD:
        break;
    case WAITS_EMPTY_LIST: /* the driver says what it says to that */
        foreign->count = count;
        foreign->list = list;
        return;
    default: /* one event too few: of another context or none at all */
        foreign->count = 1;
        foreign->list = &no_event;
        return;
    }
    unsigned flags =
        COPROC_INLINE | COPROC_HOST_VISIBLE | (memory ? memory_flags(memory) : COPROC_UNKNOWN);
    struct coproc_command *command = foreign->command =
        coproc_command_new(engine, queue->stream, flags, "call");
    struct work *work = work_of(command);
    work->kind = WORK_FOREIGN;
    work->station = queue->station;
    if (memory)
        memory_access(command, memory, offset, size, access);
    waits_add(command, count, list);
    cl_int error;
    if (coproc_command_gated(command))
        work->foreign.gate = real->clCreateUserEvent(queue->context, &error);
    cl_event gate = work->foreign.gate;
    coproc_command_enqueue(command);
    if (!gate) {
        coproc_wait_submitted(command);
        if (!coproc_command_wait_failed(command))
            return;
        /* The driver's own event shall fail as well. */
        gate = work->foreign.gate = real->clCreateUserEvent(queue->context, &error);
        if (gate)
            real->clSetUserEventStatus(gate, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    }
    foreign->wait[0] = gate;
    foreign->count = 1;
    foreign->list = foreign->wait;
}

/* The driver has refused the call: its command ends as if it had not been. */
static void foreign_cancel(struct coproc_command *command)
{
    int expected = FOREIGN_WAITS;
    if (!atomic_compare_exchange_strong(&work_of(command)->foreign.state, &expected,
                                        FOREIGN_CANCELLED))
        coproc_command_done(command, 0);
}

cl_int foreign_end(struct foreign *foreign, cl_int error, bool blocking, cl_command_type type,
                   cl_event *event)
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
            *event =
                event_new(command, NULL, queue->context, queue->native, type, queue->profiling);
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
