/*
 * Launches: what must hold so that the driver will accept one later, checked before it is answered.
 * What does not surely hold is the driver's to judge (foreign.c). Not for arguments (kernel.c).
 */
#include <string.h>

#include "coproc/opencl/layer.h"

static const struct limits *limits_find(struct kernel *kernel, const struct station *station)
{
    struct limits *limits = &kernel->limits[station->number];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if (__atomic_load_n(&limits->known, __ATOMIC_ACQUIRE))
        return limits;
    pthread_mutex_lock(&lock);
    bool known = real->clGetKernelWorkGroupInfo(kernel->native, station->device, CL_KERNEL_WORK_GROUP_SIZE,
                                                sizeof limits->group_max, &limits->group_max, NULL) == CL_SUCCESS &&
                 real->clGetKernelWorkGroupInfo(kernel->native, station->device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                                sizeof limits->compiled, limits->compiled, NULL) == CL_SUCCESS &&
                 real->clGetKernelWorkGroupInfo(kernel->native, station->device, CL_KERNEL_LOCAL_MEM_SIZE,
                                                sizeof limits->local_bytes, &limits->local_bytes, NULL) == CL_SUCCESS;
    __atomic_store_n(&limits->known, known, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    return known ? limits : NULL;
}

static bool geometry_good(const struct station *station, const struct limits *limits, cl_uint dimensions,
                          const size_t *offset, const size_t *global, const size_t *local)
{
    size_t group = 1, end;
    if (dimensions < 1 || dimensions > 3 || !global)
        return false;
    bool fixed = limits->compiled[0] || limits->compiled[1] || limits->compiled[2];
    if (fixed && !local)
        return false;
    for (unsigned i = 0; i < dimensions; i++) {
        if (!global[i] || __builtin_add_overflow(global[i], offset ? offset[i] : 0, &end))
            return false;
        if (local && (!local[i] || local[i] > station->item_max[i] || global[i] % local[i] ||
                      (fixed && local[i] != limits->compiled[i]) || __builtin_mul_overflow(group, local[i], &group)))
            return false;
    }
    for (unsigned i = dimensions; fixed && i < 3; i++)
        if (limits->compiled[i] > 1)
            return false;
    return group <= limits->group_max && group <= station->group_max;
}

static bool arguments_good(const struct kernel *kernel, const struct station *station, const struct limits *limits)
{
    const struct snapshot *snapshot = kernel->current;
    cl_ulong local_bytes = limits->local_bytes;
    for (unsigned i = 0; i < snapshot->count; i++) {
        const struct argument *argument = &snapshot->arguments[i];
        if (!argument->set)
            return false;
        if (argument->null && argument->size != sizeof(cl_mem))
            local_bytes += argument->size;
        const struct memory *memory = argument->memory;
        if (memory && (memory->context != kernel->context || !memory->entry.refs))
            return false;
        if (memory && memory->part && station->align_bytes && memory->offset % station->align_bytes)
            return false;
    }
    return local_bytes <= station->local_bytes;
}

static bool launch_good(struct queue *queue, struct kernel *kernel, cl_uint dimensions, const size_t *offset,
                        const size_t *global, const size_t *local, cl_uint count, const cl_event *list)
{
    if (!queue || !kernel || kernel->foreign || kernel->context != queue->context ||
        waits_judge(queue->context, count, list) != WAITS_GOOD)
        return false;
    const struct limits *limits = limits_find(kernel, queue->station);
    return limits && geometry_good(queue->station, limits, dimensions, offset, global, local) &&
           arguments_good(kernel, queue->station, limits);
}

static unsigned launch_flags(const struct kernel *kernel)
{
    unsigned flags = (kernel->unknown ? COPROC_UNKNOWN : 0u) | (kernel->prints ? COPROC_HOST_VISIBLE : 0u);
    for (unsigned i = 0; i < kernel->count; i++)
        if (kernel->current->arguments[i].memory)
            flags |= memory_flags(kernel->current->arguments[i].memory);
    return flags;
}

static void launch_enqueue(struct queue *queue, struct kernel *kernel, cl_uint dimensions, const size_t *offset,
                           const size_t *global, const size_t *local, cl_uint count, const cl_event *list,
                           cl_event *event, cl_command_type type)
{
    struct coproc_command *command = coproc_command_new(engine, queue->stream, launch_flags(kernel), kernel->name);
    struct work *work = work_of(command);
    work->kind = WORK_KERNEL;
    work->station = queue->station;
    work->launch.kernel = kernel;
    work->launch.snapshot = kernel->current;
    atomic_fetch_add(&kernel->uses, 1);
    atomic_fetch_add(&kernel->current->refs, 1);
    work->launch.dimensions = dimensions;
    work->launch.offset_given = offset;
    work->launch.local_given = local;
    for (unsigned i = 0; i < dimensions; i++) {
        work->launch.offset[i] = offset ? offset[i] : 0;
        work->launch.global[i] = global[i];
        work->launch.local[i] = local ? local[i] : 0;
    }
    for (unsigned i = 0; i < kernel->count; i++) {
        const struct memory *memory = kernel->current->arguments[i].memory;
        if (memory)
            memory_access(command, memory, 0, memory->size, kernel->access[i]);
    }
    waits_add(command, count, list);
    if (event)
        *event = event_new(command, NULL, queue->context, queue->native, type, queue->profiling);
    coproc_command_enqueue(command);
    coproc_command_unref(command);
}

cl_int layer_clEnqueueNDRangeKernel(cl_command_queue native, cl_kernel native_kernel, cl_uint dimensions,
                                    const size_t *offset, const size_t *global, const size_t *local, cl_uint count,
                                    const cl_event *list, cl_event *event)
{
    struct queue *queue = queue_find(native);
    struct kernel *kernel = kernel_find(native_kernel);
    if (launch_good(queue, kernel, dimensions, offset, global, local, count, list)) {
        launch_enqueue(queue, kernel, dimensions, offset, global, local, count, list, event, CL_COMMAND_NDRANGE_KERNEL);
        return CL_SUCCESS;
    }
    struct foreign foreign;
    foreign_begin(&foreign, native, count, list, 0);
    cl_int error = real->clEnqueueNDRangeKernel(native, native_kernel, dimensions, offset, global, local, foreign.count,
                                                foreign.list, foreign.event);
    return foreign_end(&foreign, error, false, CL_COMMAND_NDRANGE_KERNEL, event);
}

cl_int layer_clEnqueueTask(cl_command_queue native, cl_kernel native_kernel, cl_uint count, const cl_event *list,
                           cl_event *event)
{
    static const size_t one = 1;
    struct queue *queue = queue_find(native);
    struct kernel *kernel = kernel_find(native_kernel);
    /* With profiling the driver shall tell its own command's times and type. */
    if (queue && !queue->profiling && launch_good(queue, kernel, 1, NULL, &one, &one, count, list)) {
        launch_enqueue(queue, kernel, 1, NULL, &one, &one, count, list, event, CL_COMMAND_TASK);
        return CL_SUCCESS;
    }
    struct foreign foreign;
    foreign_begin(&foreign, native, count, list, 0);
    cl_int error = real->clEnqueueTask(native, native_kernel, foreign.count, foreign.list, foreign.event);
    return foreign_end(&foreign, error, false, CL_COMMAND_TASK, event);
}
