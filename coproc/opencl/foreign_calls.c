/*
 * Calls that go to the driver in their place: maps, images, rectangles, shared memory and what
 * other APIs own; and markers and barriers, which are the engine's. Not for how they keep their
 * place (foreign.c).
 */
#include "coproc/opencl/layer.h"

/* ---- maps
 * ----------------------------------------------------------------------------------------- */

void *layer_clEnqueueMapBuffer(cl_command_queue native, cl_mem buffer, cl_bool blocking, cl_map_flags flags,
                               size_t offset, size_t size, cl_uint count, const cl_event *list, cl_event *event,
                               cl_int *error_ret)
{
    struct foreign foreign;
    struct memory *memory = memory_find(buffer);
    cl_int error = CL_SUCCESS;
    bool writes = flags & (CL_MAP_WRITE | CL_MAP_WRITE_INVALIDATE_REGION);
    foreign_begin_memory(&foreign, native, count, list, memory, offset, size,
                         COPROC_READ | (writes ? COPROC_WRITE : 0));
    void *mapped = real->clEnqueueMapBuffer(native, buffer, blocking, flags, offset, size, foreign.count, foreign.list,
                                            foreign.event, &error);
    error = foreign_end(&foreign, error, blocking, CL_COMMAND_MAP_BUFFER, event);
    if (error_ret)
        *error_ret = error;
    return mapped;
}

void *layer_clEnqueueMapImage(cl_command_queue native, cl_mem image, cl_bool blocking, cl_map_flags flags,
                              const size_t *origin, const size_t *region, size_t *row_pitch, size_t *slice_pitch,
                              cl_uint count, const cl_event *list, cl_event *event, cl_int *error_ret)
{
    struct foreign foreign;
    cl_int error = CL_SUCCESS;
    foreign_begin(&foreign, native, count, list, 0);
    void *mapped = real->clEnqueueMapImage(native, image, blocking, flags, origin, region, row_pitch, slice_pitch,
                                           foreign.count, foreign.list, foreign.event, &error);
    error = foreign_end(&foreign, error, blocking, CL_COMMAND_MAP_IMAGE, event);
    if (error_ret)
        *error_ret = error;
    return mapped;
}

cl_int layer_clEnqueueUnmapMemObject(cl_command_queue native, cl_mem object, void *mapped, cl_uint count,
                                     const cl_event *list, cl_event *event)
{
    struct foreign foreign;
    struct memory *memory = memory_find(object);
    foreign_begin_memory(&foreign, native, count, list, memory, 0, memory ? memory->size : 0,
                         COPROC_READ | COPROC_WRITE);
    cl_int error = real->clEnqueueUnmapMemObject(native, object, mapped, foreign.count, foreign.list, foreign.event);
    return foreign_end(&foreign, error, false, CL_COMMAND_UNMAP_MEM_OBJECT, event);
}

/* ---- calls of one shape
 * ---------------------------------------------------------------------------- */

/* PARAMETERS and ARGUMENTS are what stands between the queue and the wait list. */
#define FOREIGN(name, blocking, type, PARAMETERS, ARGUMENTS)                                                           \
    cl_int layer_##name(cl_command_queue native, PARAMETERS, cl_uint count, const cl_event *list, cl_event *event)     \
    {                                                                                                                  \
        struct foreign foreign;                                                                                        \
        foreign_begin(&foreign, native, count, list, 0);                                                               \
        cl_int error = real->name(native, ARGUMENTS, foreign.count, foreign.list, foreign.event);                      \
        return foreign_end(&foreign, error, blocking, type, event);                                                    \
    }
#define A(...) __VA_ARGS__

FOREIGN(clEnqueueReadBufferRect, blocking, CL_COMMAND_READ_BUFFER_RECT,
        A(cl_mem buffer, cl_bool blocking, const size_t *origin, const size_t *host_origin, const size_t *region,
          size_t row, size_t slice, size_t host_row, size_t host_slice, void *host),
        A(buffer, blocking, origin, host_origin, region, row, slice, host_row, host_slice, host))
FOREIGN(clEnqueueWriteBufferRect, blocking, CL_COMMAND_WRITE_BUFFER_RECT,
        A(cl_mem buffer, cl_bool blocking, const size_t *origin, const size_t *host_origin, const size_t *region,
          size_t row, size_t slice, size_t host_row, size_t host_slice, const void *host),
        A(buffer, blocking, origin, host_origin, region, row, slice, host_row, host_slice, host))
FOREIGN(clEnqueueCopyBufferRect, false, CL_COMMAND_COPY_BUFFER_RECT,
        A(cl_mem source, cl_mem target, const size_t *from, const size_t *to, const size_t *region, size_t from_row,
          size_t from_slice, size_t to_row, size_t to_slice),
        A(source, target, from, to, region, from_row, from_slice, to_row, to_slice))
FOREIGN(clEnqueueReadImage, blocking, CL_COMMAND_READ_IMAGE,
        A(cl_mem image, cl_bool blocking, const size_t *origin, const size_t *region, size_t row, size_t slice,
          void *host),
        A(image, blocking, origin, region, row, slice, host))
FOREIGN(clEnqueueWriteImage, blocking, CL_COMMAND_WRITE_IMAGE,
        A(cl_mem image, cl_bool blocking, const size_t *origin, const size_t *region, size_t row, size_t slice,
          const void *host),
        A(image, blocking, origin, region, row, slice, host))
FOREIGN(clEnqueueCopyImage, false, CL_COMMAND_COPY_IMAGE,
        A(cl_mem source, cl_mem target, const size_t *from, const size_t *to, const size_t *region),
        A(source, target, from, to, region))
FOREIGN(clEnqueueCopyImageToBuffer, false, CL_COMMAND_COPY_IMAGE_TO_BUFFER,
        A(cl_mem source, cl_mem target, const size_t *from, const size_t *region, size_t to),
        A(source, target, from, region, to))
FOREIGN(clEnqueueCopyBufferToImage, false, CL_COMMAND_COPY_BUFFER_TO_IMAGE,
        A(cl_mem source, cl_mem target, size_t from, const size_t *to, const size_t *region),
        A(source, target, from, to, region))
FOREIGN(clEnqueueFillImage, false, CL_COMMAND_FILL_IMAGE,
        A(cl_mem image, const void *color, const size_t *origin, const size_t *region), A(image, color, origin, region))
FOREIGN(clEnqueueMigrateMemObjects, false, CL_COMMAND_MIGRATE_MEM_OBJECTS,
        A(cl_uint objects, const cl_mem *list_of, cl_mem_migration_flags flags), A(objects, list_of, flags))
FOREIGN(clEnqueueNativeKernel, false, CL_COMMAND_NATIVE_KERNEL,
        A(void(CL_CALLBACK *function)(void *), void *arguments, size_t size, cl_uint objects, const cl_mem *list_of,
          const void **places),
        A(function, arguments, size, objects, list_of, places))
FOREIGN(clEnqueueAcquireGLObjects, false, CL_COMMAND_ACQUIRE_GL_OBJECTS, A(cl_uint objects, const cl_mem *list_of),
        A(objects, list_of))
FOREIGN(clEnqueueReleaseGLObjects, false, CL_COMMAND_RELEASE_GL_OBJECTS, A(cl_uint objects, const cl_mem *list_of),
        A(objects, list_of))
FOREIGN(clEnqueueAcquireEGLObjectsKHR, false, CL_COMMAND_ACQUIRE_EGL_OBJECTS_KHR,
        A(cl_uint objects, const cl_mem *list_of), A(objects, list_of))
FOREIGN(clEnqueueReleaseEGLObjectsKHR, false, CL_COMMAND_RELEASE_EGL_OBJECTS_KHR,
        A(cl_uint objects, const cl_mem *list_of), A(objects, list_of))
FOREIGN(clEnqueueSVMFree, false, CL_COMMAND_SVM_FREE,
        A(cl_uint pointers, void *list_of[], void(CL_CALLBACK *function)(cl_command_queue, cl_uint, void *[], void *),
          void *data),
        A(pointers, list_of, function, data))
FOREIGN(clEnqueueSVMMemcpy, blocking, CL_COMMAND_SVM_MEMCPY,
        A(cl_bool blocking, void *target, const void *source, size_t size), A(blocking, target, source, size))
FOREIGN(clEnqueueSVMMemFill, false, CL_COMMAND_SVM_MEMFILL,
        A(void *target, const void *pattern, size_t pattern_size, size_t size), A(target, pattern, pattern_size, size))
FOREIGN(clEnqueueSVMMap, blocking, CL_COMMAND_SVM_MAP,
        A(cl_bool blocking, cl_map_flags flags, void *target, size_t size), A(blocking, flags, target, size))
FOREIGN(clEnqueueSVMUnmap, false, CL_COMMAND_SVM_UNMAP, A(void *target), A(target))
FOREIGN(clEnqueueSVMMigrateMem, false, CL_COMMAND_SVM_MIGRATE_MEM,
        A(cl_uint pointers, const void **list_of, const size_t *sizes, cl_mem_migration_flags flags),
        A(pointers, list_of, sizes, flags))

/* ---- markers and barriers
 * ---------------------------------------------------------------------------- */

/* With profiling they are the driver's: it tells their times. False: the driver must judge the
 * call. */
static bool marker_enqueue(cl_command_queue native, unsigned flags, cl_command_type type, cl_uint count,
                           const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    if (!queue || (queue->profiling && event) || waits_judge(queue->context, count, list) != WAITS_GOOD)
        return false;
    struct coproc_command *command =
        coproc_command_new(engine, queue->stream, COPROC_LOCAL | flags, flags & COPROC_BARRIER ? "barrier" : "marker");
    waits_add(command, count, list);
    if (event)
        *event = event_new(command, NULL, queue->context, queue->native, type, false);
    coproc_command_enqueue(command);
    coproc_command_unref(command);
    return true;
}

cl_int layer_clEnqueueMarkerWithWaitList(cl_command_queue native, cl_uint count, const cl_event *list, cl_event *event)
{
    struct foreign foreign;
    if (marker_enqueue(native, COPROC_MARKER, CL_COMMAND_MARKER, count, list, event))
        return CL_SUCCESS;
    foreign_begin(&foreign, native, count, list, COPROC_MARKER);
    return foreign_end(&foreign, real->clEnqueueMarkerWithWaitList(native, foreign.count, foreign.list, foreign.event),
                       false, CL_COMMAND_MARKER, event);
}

cl_int layer_clEnqueueBarrierWithWaitList(cl_command_queue native, cl_uint count, const cl_event *list, cl_event *event)
{
    struct foreign foreign;
    if (marker_enqueue(native, COPROC_BARRIER, CL_COMMAND_BARRIER, count, list, event))
        return CL_SUCCESS;
    foreign_begin(&foreign, native, count, list, COPROC_BARRIER);
    return foreign_end(&foreign, real->clEnqueueBarrierWithWaitList(native, foreign.count, foreign.list, foreign.event),
                       false, CL_COMMAND_BARRIER, event);
}

cl_int layer_clEnqueueMarker(cl_command_queue native, cl_event *event)
{
    struct foreign foreign;
    if (event && marker_enqueue(native, COPROC_MARKER, CL_COMMAND_MARKER, 0, NULL, event))
        return CL_SUCCESS;
    foreign_begin(&foreign, native, 0, NULL, COPROC_MARKER);
    return foreign_end(&foreign, real->clEnqueueMarker(native, event ? foreign.event : NULL), false, CL_COMMAND_MARKER,
                       event);
}

cl_int layer_clEnqueueBarrier(cl_command_queue native)
{
    if (marker_enqueue(native, COPROC_BARRIER, CL_COMMAND_BARRIER, 0, NULL, NULL))
        return CL_SUCCESS;
    return real->clEnqueueBarrier(native);
}

cl_int layer_clEnqueueWaitForEvents(cl_command_queue native, cl_uint count, const cl_event *list)
{
    const struct queue *queue = queue_find(native);
    if (!queue)
        return real->clEnqueueWaitForEvents(native, 0, NULL);
    if (!count || !list)
        return CL_INVALID_VALUE;
    switch (waits_judge(queue->context, count, list)) {
    case WAITS_BAD_CONTEXT:
        return CL_INVALID_CONTEXT;
    case WAITS_BAD_EVENT:
        return CL_INVALID_EVENT;
    default:
        marker_enqueue(native, COPROC_BARRIER, CL_COMMAND_BARRIER, count, list, NULL);
        return CL_SUCCESS;
    }
}
