/*
 * Queues and stations. A station is a device as one context sees it: an executor of the engine and
 * lanes of ours, which live as long as the application has a queue there. Not for commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct station *stations;
static unsigned numbers; /* bits: in use */

static void lanes_release(struct station *station)
{
    for (unsigned i = 0; i < STATION_LANES; i++)
        if (station->lanes[i])
            real->clReleaseCommandQueue(station->lanes[i]);
}

static bool lanes_make(struct station *station)
{
    cl_device_id device = station->device;
    for (unsigned i = 0; i < STATION_LANES; i++) {
        cl_int error;
        station->lanes[i] = real->clCreateCommandQueue(station->context, device, CL_QUEUE_PROFILING_ENABLE, &error);
        if (!station->lanes[i])
            return false;
    }
    real->clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof station->group_max, &station->group_max, NULL);
    size_t items[16] = {0};
    real->clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL);
    memcpy(station->item_max, items, sizeof station->item_max);
    cl_uint bits = 0;
    real->clGetDeviceInfo(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof bits, &bits, NULL);
    station->align_bytes = bits / 8;
    real->clGetDeviceInfo(device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof station->local_bytes, &station->local_bytes, NULL);
    return true;
}

static struct station *station_make(cl_context context, cl_device_id device)
{
    if (numbers == (1u << STATIONS_MAX) - 1)
        return NULL;
    struct station *station = layer_memory(sizeof *station);
    station->context = context;
    station->device = device;
    char name[32] = "coprocessor";
    real->clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name - 1, name, NULL);
    struct coproc_driver driver = submit_driver;
    driver.context = station;
    if (lanes_make(station))
        station->coprocessor = coproc_device_new(engine, &driver, name);
    if (!station->coprocessor) {
        lanes_release(station);
        free(station);
        return NULL;
    }
    station->number = (unsigned)__builtin_ctz(~numbers);
    numbers |= 1u << station->number;
    station->next = stations;
    stations = station;
    return station;
}

/* NULL: the driver has no queue for us, or there are too many; then the queue is not ours at all.
 */
static struct station *station_take(cl_context context, cl_device_id device)
{
    pthread_mutex_lock(&lock);
    struct station *station = stations;
    while (station && (station->context != context || station->device != device))
        station = station->next;
    if (!station)
        station = station_make(context, device);
    if (station)
        station->queues++;
    pthread_mutex_unlock(&lock);
    return station;
}

static void station_give(struct station *station)
{
    pthread_mutex_lock(&lock);
    bool last = --station->queues == 0;
    if (last) {
        struct station **next = &stations;
        while (*next != station)
            next = &(*next)->next;
        *next = station->next;
        numbers &= ~(1u << station->number);
    }
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    coproc_device_free(station->coprocessor);
    lanes_release(station);
    free(station);
}

unsigned station_references(cl_context context)
{
    unsigned references = 0;
    pthread_mutex_lock(&lock);
    for (const struct station *station = stations; station; station = station->next)
        references += station->context == context ? STATION_LANES : 0;
    pthread_mutex_unlock(&lock);
    return references;
}

struct queue *queue_find(cl_command_queue native)
{
    return handle_find(native, HANDLE_QUEUE);
}

/* ---- life of queues
 * ------------------------------------------------------------------------------ */

static void queue_open(cl_command_queue native)
{
    cl_context context;
    cl_device_id device;
    cl_command_queue_properties properties = 0;
    if (!native ||
        real->clGetCommandQueueInfo(native, CL_QUEUE_CONTEXT, sizeof context, &context, NULL) != CL_SUCCESS ||
        real->clGetCommandQueueInfo(native, CL_QUEUE_DEVICE, sizeof device, &device, NULL) != CL_SUCCESS ||
        real->clGetCommandQueueInfo(native, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL) != CL_SUCCESS ||
        (properties & CL_QUEUE_ON_DEVICE))
        return;
    struct station *station = station_take(context, device);
    if (!station) {
        /* Without a stream of its own the queue orders nothing: so much must not go unnoticed. */
        static _Atomic bool said;
        if (!atomic_exchange(&said, true))
            fprintf(stderr, "ld-span: coprocessor streams: no lanes for a queue: calls on it wait "
                            "for the device\n");
        return;
    }
    struct queue *queue = layer_memory(sizeof *queue);
    queue->native = native;
    queue->context = context;
    queue->station = station;
    queue->in_order = !(properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    queue->profiling = properties & CL_QUEUE_PROFILING_ENABLE;
    queue->stream = coproc_queue_new(station->coprocessor, queue->in_order, queue->profiling);
    if (!queue->stream)
        abort();
    handle_add(&queue->entry, native, HANDLE_QUEUE);
}

static void queue_bury(void *object)
{
    struct queue *queue = object;
    coproc_queue_free(queue->stream);
    real->clReleaseCommandQueue(queue->native);
    station_give(queue->station);
    free(queue);
}

cl_command_queue layer_clCreateCommandQueue(cl_context context, cl_device_id device,
                                            cl_command_queue_properties properties, cl_int *error_ret)
{
    cl_command_queue native = real->clCreateCommandQueue(context, device, properties, error_ret);
    queue_open(native);
    return native;
}

cl_command_queue layer_clCreateCommandQueueWithProperties(cl_context context, cl_device_id device,
                                                          const cl_queue_properties *properties, cl_int *error_ret)
{
    cl_command_queue native = real->clCreateCommandQueueWithProperties(context, device, properties, error_ret);
    queue_open(native);
    return native;
}

cl_int layer_clRetainCommandQueue(cl_command_queue native)
{
    struct queue *queue = queue_find(native);
    cl_int error = real->clRetainCommandQueue(native);
    if (queue && error == CL_SUCCESS)
        atomic_fetch_add(&queue->entry.refs, 1);
    return error;
}

cl_int layer_clReleaseCommandQueue(cl_command_queue native)
{
    struct queue *queue = queue_find(native);
    if (!queue || atomic_fetch_sub(&queue->entry.refs, 1) > 1)
        return real->clReleaseCommandQueue(native);
    handle_remove(&queue->entry);
    coproc_bury(engine, queue_bury, queue);
    return CL_SUCCESS;
}

cl_int layer_clSetCommandQueueProperty(cl_command_queue native, cl_command_queue_properties properties, cl_bool enable,
                                       cl_command_queue_properties *old)
{
    struct queue *queue = queue_find(native);
    coproc_drain(engine);
    cl_int error = real->clSetCommandQueueProperty(native, properties, enable, old);
    cl_command_queue_properties now = 0;
    if (!queue || error != CL_SUCCESS ||
        real->clGetCommandQueueInfo(native, CL_QUEUE_PROPERTIES, sizeof now, &now, NULL) != CL_SUCCESS)
        return error;
    coproc_wait_queue(queue->stream, COPROC_WAIT_REAL);
    coproc_queue_free(queue->stream);
    queue->in_order = !(now & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    queue->profiling = now & CL_QUEUE_PROFILING_ENABLE;
    queue->stream = coproc_queue_new(queue->station->coprocessor, queue->in_order, queue->profiling);
    return error;
}

/* Our lanes hold the context too, which does not show. */
cl_int layer_clGetContextInfo(cl_context context, cl_context_info name, size_t room, void *value, size_t *size_ret)
{
    cl_int error = real->clGetContextInfo(context, name, room, value, size_ret);
    if (error == CL_SUCCESS && name == CL_CONTEXT_REFERENCE_COUNT && value)
        *(cl_uint *)value -= station_references(context);
    return error;
}

/* ---- waits
 * ---------------------------------------------------------------------------------------- */

cl_int layer_clFlush(cl_command_queue native)
{
    return queue_find(native) ? CL_SUCCESS : real->clFlush(native);
}

cl_int layer_clFinish(cl_command_queue native)
{
    struct queue *queue = queue_find(native);
    if (!queue)
        return real->clFinish(native);
    int status = coproc_wait_queue(queue->stream, COPROC_WAIT_MODE);
    /* A launch that the driver refused later than it should have: the specification's answer for
     * that. */
    return status == CL_OUT_OF_RESOURCES || status == CL_OUT_OF_HOST_MEMORY ? status : CL_SUCCESS;
}
