/*
 * Reads, writes, copies and fills of buffers. As launches, they are answered when the driver will
 * surely accept them, else they are the driver's to judge. Not for images, rectangles and maps
 * (foreign_calls.c).
 */
#include <string.h>

#include "coproc/opencl/layer.h"

#define NO_READ  (CL_MEM_HOST_WRITE_ONLY | CL_MEM_HOST_NO_ACCESS)
#define NO_WRITE (CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS)

static bool range_good(const struct queue *queue, const struct memory *memory, size_t offset, size_t size)
{
    size_t end;
    if (!queue || !memory || memory->type != CL_MEM_OBJECT_BUFFER || memory->context != queue->context || !size)
        return false;
    if (memory->part && queue->station->align_bytes && memory->offset % queue->station->align_bytes)
        return false;
    return !__builtin_add_overflow(offset, size, &end) && end <= memory->size;
}

static struct coproc_command *transfer_new(const struct queue *queue, enum work_kind kind, unsigned flags,
                                           const char *name)
{
    struct coproc_command *command = coproc_command_new(engine, queue->stream, flags, name);
    struct work *work = work_of(command);
    work->kind = kind;
    work->station = queue->station;
    return command;
}

/* The event, then the command: callbacks must find the event. The caller's reference goes, or waits
 * for the end. */
static cl_int transfer_enqueue(struct queue *queue, struct coproc_command *command, cl_uint count, const cl_event *list,
                               cl_event *event, cl_command_type type, bool blocking, enum coproc_wait how)
{
    cl_int error = CL_SUCCESS;
    waits_add(command, count, list);
    if (event)
        *event = event_new(command, NULL, queue->context, queue->native, type, queue->profiling);
    coproc_command_enqueue(command);
    if (blocking) {
        int status = coproc_wait_commands(&command, 1, how);
        error = status == COPROC_STATUS_WAIT ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : status;
    }
    coproc_command_unref(command);
    return error;
}

/* Nothing is under way: a blocking call without events needs no place in the order. */
static bool nothing_live(cl_bool blocking, cl_uint count, const cl_event *event)
{
    return blocking && !count && !event && coproc_engine_idle(engine) && !coproc_engine_traces(engine);
}

cl_int layer_clEnqueueReadBuffer(cl_command_queue native, cl_mem buffer, cl_bool blocking, size_t offset, size_t size,
                                 void *host, cl_uint count, const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    struct memory *memory = memory_find(buffer);
    if (nothing_live(blocking, count, event))
        return real->clEnqueueReadBuffer(native, buffer, blocking, offset, size, host, count, list, event);
    if (!range_good(queue, memory, offset, size) || !host || (memory->flags & NO_READ) ||
        waits_judge(queue->context, count, list) != WAITS_GOOD) {
        struct foreign foreign;
        foreign_begin(&foreign, native, count, list, 0);
        cl_int error = real->clEnqueueReadBuffer(native, buffer, blocking, offset, size, host, foreign.count,
                                                 foreign.list, foreign.event);
        return foreign_end(&foreign, error, blocking, CL_COMMAND_READ_BUFFER, event);
    }
    struct coproc_command *command =
        transfer_new(queue, WORK_READ, COPROC_HOST_VISIBLE | memory_flags(memory), "read buffer");
    struct work *work = work_of(command);
    work->transfer.source = buffer;
    work->transfer.source_offset = offset;
    work->transfer.size = size;
    work->transfer.host = host;
    memory_access(command, memory, offset, size, COPROC_READ);
    return transfer_enqueue(queue, command, count, list, event, CL_COMMAND_READ_BUFFER, blocking, COPROC_WAIT_MODE);
}

/* What the host wrote is copied when that is cheap against waiting: small pieces always, large ones
 * while the device works. */
static void *write_stage(const struct queue *queue, const void *host, size_t size)
{
    if (size > STAGE_SMALL && coproc_device_idle(queue->station->coprocessor))
        return NULL;
    void *staged = coproc_stage_take(engine, size);
    if (staged)
        memcpy(staged, host, size);
    return staged;
}

cl_int layer_clEnqueueWriteBuffer(cl_command_queue native, cl_mem buffer, cl_bool blocking, size_t offset, size_t size,
                                  const void *host, cl_uint count, const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    struct memory *memory = memory_find(buffer);
    if (size > STAGE_SMALL && nothing_live(blocking, count, event))
        return real->clEnqueueWriteBuffer(native, buffer, blocking, offset, size, host, count, list, event);
    if (!range_good(queue, memory, offset, size) || !host || (memory->flags & NO_WRITE) ||
        waits_judge(queue->context, count, list) != WAITS_GOOD) {
        struct foreign foreign;
        foreign_begin(&foreign, native, count, list, 0);
        cl_int error = real->clEnqueueWriteBuffer(native, buffer, blocking, offset, size, host, foreign.count,
                                                  foreign.list, foreign.event);
        return foreign_end(&foreign, error, blocking, CL_COMMAND_WRITE_BUFFER, event);
    }
    void *staged = write_stage(queue, host, size);
    struct coproc_command *command =
        transfer_new(queue, WORK_WRITE, (staged ? 0u : COPROC_HOST_VISIBLE) | memory_flags(memory), "write buffer");
    struct work *work = work_of(command);
    work->transfer.target = buffer;
    work->transfer.target_offset = offset;
    work->transfer.size = size;
    work->transfer.staged = staged;
    memcpy(&work->transfer.host, &host, sizeof host);
    memory_access(command, memory, offset, size, COPROC_WRITE);
    return transfer_enqueue(queue, command, count, list, event, CL_COMMAND_WRITE_BUFFER, blocking,
                            staged ? COPROC_WAIT_EARLY : COPROC_WAIT_MODE);
}

/* Both ranges in one root overlap. */
static bool copies_itself(const struct memory *source, const struct memory *target, size_t from, size_t to, size_t size)
{
    uint64_t a = source->offset + from, b = target->offset + to;
    return source->root == target->root && a < b + size && b < a + size;
}

cl_int layer_clEnqueueCopyBuffer(cl_command_queue native, cl_mem source, cl_mem target, size_t from, size_t to,
                                 size_t size, cl_uint count, const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    struct memory *source_memory = memory_find(source), *target_memory = memory_find(target);
    if (!range_good(queue, source_memory, from, size) || !range_good(queue, target_memory, to, size) ||
        copies_itself(source_memory, target_memory, from, to, size) ||
        waits_judge(queue->context, count, list) != WAITS_GOOD) {
        struct foreign foreign;
        foreign_begin(&foreign, native, count, list, 0);
        cl_int error = real->clEnqueueCopyBuffer(native, source, target, from, to, size, foreign.count, foreign.list,
                                                 foreign.event);
        return foreign_end(&foreign, error, false, CL_COMMAND_COPY_BUFFER, event);
    }
    struct coproc_command *command =
        transfer_new(queue, WORK_COPY, memory_flags(source_memory) | memory_flags(target_memory), "copy buffer");
    struct work *work = work_of(command);
    work->transfer.source = source;
    work->transfer.target = target;
    work->transfer.source_offset = from;
    work->transfer.target_offset = to;
    work->transfer.size = size;
    memory_access(command, source_memory, from, size, COPROC_READ);
    memory_access(command, target_memory, to, size, COPROC_WRITE);
    return transfer_enqueue(queue, command, count, list, event, CL_COMMAND_COPY_BUFFER, false, COPROC_WAIT_MODE);
}

static bool pattern_good(const void *pattern, size_t pattern_size, size_t offset, size_t size)
{
    return pattern && pattern_size && pattern_size <= PATTERN_MAX && !(pattern_size & (pattern_size - 1)) &&
           offset % pattern_size == 0 && size % pattern_size == 0;
}

cl_int layer_clEnqueueFillBuffer(cl_command_queue native, cl_mem buffer, const void *pattern, size_t pattern_size,
                                 size_t offset, size_t size, cl_uint count, const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    struct memory *memory = memory_find(buffer);
    if (!range_good(queue, memory, offset, size) || !pattern_good(pattern, pattern_size, offset, size) ||
        waits_judge(queue->context, count, list) != WAITS_GOOD) {
        struct foreign foreign;
        foreign_begin(&foreign, native, count, list, 0);
        cl_int error = real->clEnqueueFillBuffer(native, buffer, pattern, pattern_size, offset, size, foreign.count,
                                                 foreign.list, foreign.event);
        return foreign_end(&foreign, error, false, CL_COMMAND_FILL_BUFFER, event);
    }
    struct coproc_command *command = transfer_new(queue, WORK_FILL, memory_flags(memory), "fill buffer");
    struct work *work = work_of(command);
    work->transfer.target = buffer;
    work->transfer.target_offset = offset;
    work->transfer.size = size;
    work->transfer.pattern_size = pattern_size;
    memcpy(work->transfer.pattern, pattern, pattern_size);
    memory_access(command, memory, offset, size, COPROC_WRITE);
    return transfer_enqueue(queue, command, count, list, event, CL_COMMAND_FILL_BUFFER, false, COPROC_WAIT_MODE);
}
