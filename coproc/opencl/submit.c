/*
 * Carrying out commands: what the engine calls when one is ready, and what follows when the driver
 * has ended it. Not for what is ready when (the engine), nor for arguments of the application
 * (launch.c, transfer.c).
 */
#include <string.h>
#include <time.h>

#include "coproc/opencl/layer.h"

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The driver's clock is its own: its time of queueing is ours of submission. */
static void times_tell(struct coproc_command *command, cl_event native)
{
    const struct work *work = work_of(command);
    cl_ulong queued, start, end;
    if (work->submitted_ns &&
        real->clGetEventProfilingInfo(native, CL_PROFILING_COMMAND_QUEUED, sizeof queued, &queued, NULL) ==
            CL_SUCCESS &&
        real->clGetEventProfilingInfo(native, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL) == CL_SUCCESS &&
        real->clGetEventProfilingInfo(native, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) == CL_SUCCESS)
        coproc_command_times(command, work->submitted_ns + (start - queued), work->submitted_ns + (end - queued));
}

static void CL_CALLBACK ended(cl_event native, cl_int status, void *data)
{
    struct coproc_command *command = data;
    if (coproc_engine_traces(engine))
        times_tell(command, native);
    coproc_command_done(command, status < 0 ? status : 0);
}

int submit_watch(struct coproc_command *command, cl_event native)
{
    work_of(command)->native = native;
    return real->clSetEventCallback(native, CL_COMPLETE, ended, command);
}

static cl_int launch(struct work *work, cl_command_queue lane, cl_event *native)
{
    cl_int error = CL_OUT_OF_RESOURCES;
    cl_kernel kernel = kernel_clone(work->launch.kernel, work->station, work->launch.snapshot, &error);
    if (!kernel)
        return error;
    return real->clEnqueueNDRangeKernel(lane, kernel, work->launch.dimensions,
                                        work->launch.offset_given ? work->launch.offset : NULL, work->launch.global,
                                        work->launch.local_given ? work->launch.local : NULL, 0, NULL, native);
}

void foreign_open(struct coproc_command *command)
{
    real->clSetUserEventStatus(work_of(command)->foreign.gate, coproc_command_wait_failed(command)
                                                                   ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST
                                                                   : CL_COMPLETE);
}

/* A call whose place in the order has come: the driver has it already, behind this gate, or the
 * caller is waiting. */
static int foreign_fire(struct coproc_command *command)
{
    switch (atomic_exchange(&work_of(command)->foreign.state, FOREIGN_FIRED)) {
    case FOREIGN_GATED:
        foreign_open(command);
        break;
    case FOREIGN_CANCELLED:
        coproc_command_done(command, 0); /* the driver has refused it meanwhile */
        break;
    default:
        break;
    }
    return 0;
}

static int submit(void *context, struct coproc_command *command, unsigned lane_number)
{
    struct station *station = context;
    struct work *work = work_of(command);
    if (work->kind == WORK_FOREIGN)
        return foreign_fire(command);
    cl_command_queue lane = station->lanes[lane_number];
    cl_event native = NULL;
    cl_int error = CL_INVALID_OPERATION;
    const void *source = work->transfer.staged ? work->transfer.staged : work->transfer.host;
    if (coproc_engine_traces(engine))
        work->submitted_ns = now_ns();
    switch (work->kind) {
    case WORK_KERNEL:
        error = launch(work, lane, &native);
        break;
    case WORK_READ:
        error = real->clEnqueueReadBuffer(lane, work->transfer.source, CL_FALSE, work->transfer.source_offset,
                                          work->transfer.size, work->transfer.host, 0, NULL, &native);
        break;
    case WORK_WRITE:
        error = real->clEnqueueWriteBuffer(lane, work->transfer.target, CL_FALSE, work->transfer.target_offset,
                                           work->transfer.size, source, 0, NULL, &native);
        break;
    case WORK_COPY:
        error =
            real->clEnqueueCopyBuffer(lane, work->transfer.source, work->transfer.target, work->transfer.source_offset,
                                      work->transfer.target_offset, work->transfer.size, 0, NULL, &native);
        break;
    case WORK_FILL:
        error =
            real->clEnqueueFillBuffer(lane, work->transfer.target, work->transfer.pattern, work->transfer.pattern_size,
                                      work->transfer.target_offset, work->transfer.size, 0, NULL, &native);
        break;
    case WORK_UNMAP:
        error = real->clEnqueueUnmapMemObject(lane, work->transfer.target, work->transfer.host, 0, NULL, &native);
        break;
    default:
        break;
    }
    if (error == CL_SUCCESS)
        error = submit_watch(command, native);
    if (error == CL_SUCCESS)
        real->clFlush(lane);
    return error;
}

static void retired(struct coproc_command *command, int status)
{
    if (work_of(command)->event)
        event_retired(work_of(command)->event, status);
}

static void released(struct coproc_command *command)
{
    struct work *work = work_of(command);
    if (work->native)
        real->clReleaseEvent(work->native);
    switch (work->kind) {
    case WORK_KERNEL:
        snapshot_unref(work->launch.snapshot);
        kernel_unuse(work->launch.kernel);
        break;
    case WORK_WRITE:
        if (work->transfer.staged)
            coproc_stage_give(engine, work->transfer.staged, work->transfer.size);
        break;
    case WORK_FOREIGN:
        if (work->foreign.gate)
            real->clReleaseEvent(work->foreign.gate);
        break;
    default:
        break;
    }
}

const struct coproc_driver submit_driver = {
    .submit = submit,
    .retired = retired,
    .released = released,
    .lanes = STATION_LANES,
    .chain_depth = STATION_CHAIN,
};
