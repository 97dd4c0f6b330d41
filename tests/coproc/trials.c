/*
 * What went wrong in trials of coprocessor layers, one case each; and what programs must not
 * notice. trials CASE     exits with 0 when the case passes; with 77 when the platform cannot show
 * it trials parity   prints answers to wrong and odd calls: the same with the layer on and off
 *   trials --list   names the cases
 */
#include <CL/cl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOATS 1024u
#define BYTES  (FLOATS * sizeof(float))

static cl_platform_id platform;
static cl_device_id device;
static cl_context context;
static cl_command_queue queue, other;
static cl_program program;

static const char source[] =
    "kernel void add(global float *a, float x) { a[get_global_id(0)] += x; }\n"
    "kernel void slow(global float *a, int n) { float x = a[0]; for (int i = 0; i < n; i++) x = x "
    "* 0.5f + 1.0f;\n"
    "    a[0] = x; }\n"
    "kernel void sneak(global const float *a) { ((global float *)a)[get_global_id(0)] = 7.0f; }\n"
    "kernel void take(global float *to, constant float *from) { to[get_global_id(0)] = "
    "from[get_global_id(0)]; }\n"
    "kernel void two(global float *a, local float *scratch) { scratch[get_local_id(0)] = 1; a[0] = "
    "scratch[0]; }\n"
    "__attribute__((reqd_work_group_size(4, 1, 1))) kernel void four(global float *a) { "
    "a[get_global_id(0)] = 4; }\n";

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s does not hold\n", __LINE__, #condition);                                               \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define GOOD(call) CHECK((call) == CL_SUCCESS)

static void open_device(void)
{
    cl_int error;
    const char *text = source;
    GOOD(clGetPlatformIDs(1, &platform, NULL));
    GOOD(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
    context = clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    GOOD(error);
    queue = clCreateCommandQueue(context, device, 0, &error);
    GOOD(error);
    other = clCreateCommandQueue(context, device, CL_QUEUE_PROFILING_ENABLE, &error);
    GOOD(error);
    program = clCreateProgramWithSource(context, 1, &text, NULL, &error);
    GOOD(error);
    GOOD(clBuildProgram(program, 1, &device, "-DUNUSED", NULL, NULL));
}

static cl_mem buffer_new(cl_mem_flags flags, void *host)
{
    cl_int error;
    cl_mem buffer = clCreateBuffer(context, flags, BYTES, host, &error);
    GOOD(error);
    return buffer;
}

static cl_kernel kernel_new(const char *name)
{
    cl_int error;
    cl_kernel kernel = clCreateKernel(program, name, &error);
    GOOD(error);
    return kernel;
}

static void launch(cl_command_queue where, cl_kernel kernel, size_t global, cl_event *event)
{
    GOOD(clEnqueueNDRangeKernel(where, kernel, 1, NULL, &global, NULL, 0, NULL, event));
}

static void fill(cl_mem buffer, float value)
{
    GOOD(clEnqueueFillBuffer(queue, buffer, &value, sizeof value, 0, BYTES, 0, NULL, NULL));
}

static float first(cl_mem buffer)
{
    float value;
    GOOD(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
    return value;
}

static cl_kernel slow_new(cl_mem buffer, int rounds)
{
    cl_kernel kernel = kernel_new("slow");
    GOOD(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(kernel, 1, sizeof rounds, &rounds));
    return kernel;
}

/* ---- cases
 * ---------------------------------------------------------------------------------------------- */

/* Queueing without bound made such programs slow, or never end. */
static void window(void)
{
    struct rusage before, after;
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel kernel = kernel_new("add");
    float one = 1;
    fill(buffer, 0);
    GOOD(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(kernel, 1, sizeof one, &one));
    launch(queue, kernel, 1, NULL);
    getrusage(RUSAGE_SELF, &before);
    for (int i = 1; i < 20000; i++)
        launch(queue, kernel, 1, NULL);
    CHECK(first(buffer) == 20000);
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss - before.ru_maxrss < 64 * 1024);
}

static void fill_is_seen(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel kernel = slow_new(buffer, 3000000);
    fill(buffer, 0);
    launch(queue, kernel, 1, NULL);
    GOOD(clFinish(queue));
    fill(buffer, 5);
    CHECK(first(buffer) == 5);
}

/* A wrong write must give its error, and must not have been staged or carried out. */
static void validation_comes_first(void)
{
    float value = 3;
    cl_mem buffer = buffer_new(0, NULL), read_only = buffer_new(CL_MEM_HOST_READ_ONLY, NULL);
    fill(buffer, 1);
    CHECK(clEnqueueWriteBuffer(queue, buffer, CL_TRUE, BYTES, 4, &value, 0, NULL, NULL) == CL_INVALID_VALUE);
    CHECK(clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, 4, NULL, 0, NULL, NULL) == CL_INVALID_VALUE);
    CHECK(clEnqueueWriteBuffer(queue, read_only, CL_TRUE, 0, 4, &value, 0, NULL, NULL) == CL_INVALID_OPERATION);
    CHECK(clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, 4, &value, 1, NULL, NULL) == CL_INVALID_EVENT_WAIT_LIST);
    CHECK(first(buffer) == 1);
}

static void build_options_stay(void)
{
    char options[256] = "";
    GOOD(clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_OPTIONS, sizeof options, options, NULL));
    CHECK(!strcmp(options, "-DUNUSED"));
}

/* An event that the driver has not seen yet; after an early wait it is complete and has times. */
static void profiling_after_early_wait(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel kernel = slow_new(buffer, 3000000);
    cl_event event;
    cl_ulong start = 0, end = 0;
    cl_int status = 1;
    fill(buffer, 0);
    launch(other, kernel, 1, &event);
    launch(other, kernel, 1, NULL);
    GOOD(clFinish(other));
    GOOD(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL));
    CHECK(status == CL_COMPLETE);
    GOOD(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL));
    GOOD(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL));
    CHECK(start && end > start);
}

/* A kernel that casts const away writes through it, and through CL_MEM_READ_ONLY. */
static void const_is_no_proof(void)
{
    cl_mem buffer = buffer_new(CL_MEM_READ_ONLY, NULL), result = buffer_new(0, NULL);
    cl_kernel sneak = kernel_new("sneak"), slow = slow_new(buffer, 2000000), take = kernel_new("take");
    fill(buffer, 0);
    GOOD(clSetKernelArg(sneak, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(take, 0, sizeof result, &result));
    GOOD(clSetKernelArg(take, 1, sizeof buffer, &buffer));
    launch(queue, slow, 1, NULL);
    GOOD(clFinish(queue));
    launch(other, sneak, FLOATS, NULL);
    GOOD(clFinish(other));
    launch(queue, take, FLOATS, NULL);
    GOOD(clFinish(queue));
    CHECK(first(buffer) == 7 && first(result) == 7);
}

/* What the host lends may change after a wait; arguments may change after the call. */
static void host_takes_its_memory_back(void)
{
    cl_mem slow_buffer = buffer_new(0, NULL), buffer = buffer_new(0, NULL), big;
    cl_int error;
    size_t bytes = 4u << 20;
    cl_kernel slow = slow_new(slow_buffer, 3000000), add = kernel_new("add");
    float *data = malloc(bytes), value = 1, read = 0;
    big = clCreateBuffer(context, 0, bytes, NULL, &error);
    GOOD(error);
    fill(slow_buffer, 0);
    launch(queue, slow, 1, NULL);
    for (size_t i = 0; i < bytes / 4; i++)
        data[i] = 2;
    GOOD(clEnqueueWriteBuffer(queue, big, CL_FALSE, 0, bytes, data, 0, NULL, NULL));
    GOOD(clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, BYTES, data, 0, NULL, NULL));
    GOOD(clFinish(queue));
    memset(data, 0xff, bytes);
    free(data);
    GOOD(clSetKernelArg(add, 0, sizeof buffer, &buffer));
    for (int i = 0; i < 10; i++) {
        GOOD(clSetKernelArg(add, 1, sizeof value, &value));
        launch(queue, add, FLOATS, NULL);
        value *= 2;
    }
    GOOD(clReleaseKernel(add));
    CHECK(first(buffer) == 2 + 1023);
    GOOD(clEnqueueReadBuffer(queue, big, CL_TRUE, bytes - 4, 4, &read, 0, NULL, NULL));
    CHECK(read == 2);
}

static void host_pointer_is_visible(void)
{
    static float host[FLOATS];
    cl_mem buffer = buffer_new(CL_MEM_USE_HOST_PTR, host);
    cl_int error;
    cl_kernel slow = slow_new(buffer, 3000000);
    launch(queue, slow, 1, NULL);
    GOOD(clFinish(queue));
    void *mapped = clEnqueueMapBuffer(queue, buffer, CL_TRUE, CL_MAP_READ, 0, BYTES, 0, NULL, NULL, &error);
    GOOD(error);
    CHECK(mapped == host && host[0] > 1.9f);
    GOOD(clEnqueueUnmapMemObject(queue, buffer, mapped, 0, NULL, NULL));
    GOOD(clFinish(queue));
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static int called[4], calls;

static void CL_CALLBACK callback(cl_event event, cl_int status, void *data)
{
    (void)event;
    pthread_mutex_lock(&lock);
    called[calls++] = *(int *)data + status * 100;
    pthread_cond_signal(&change);
    pthread_mutex_unlock(&lock);
}

static void callbacks_in_queue_order(void)
{
    static int numbers[] = {1, 2, 3};
    cl_mem buffer = buffer_new(0, NULL), independent = buffer_new(0, NULL);
    cl_kernel slow = slow_new(buffer, 2000000), add = slow_new(independent, 1);
    cl_int error;
    cl_event events[3], gate = clCreateUserEvent(context, &error);
    size_t one = 1;
    GOOD(error);
    GOOD(clEnqueueNDRangeKernel(queue, slow, 1, NULL, &one, NULL, 1, &gate, &events[0]));
    launch(queue, add, 1, &events[1]);
    launch(queue, add, 1, &events[2]);
    for (int i = 2; i >= 0; i--)
        GOOD(clSetEventCallback(events[i], CL_COMPLETE, callback, &numbers[i]));
    GOOD(clFlush(queue));
    GOOD(clSetUserEventStatus(gate, CL_COMPLETE));
    pthread_mutex_lock(&lock);
    while (calls < 3)
        pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 3; i++)
        CHECK(called[i] >= 1 && called[i] <= 3);
    CHECK(getenv("OPENCL_LAYERS") == NULL || (called[0] == 1 && called[1] == 2 && called[2] == 3));
}

static void user_events_hold_back(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_int error, status = 0;
    cl_kernel add = kernel_new("add");
    float one = 1, value = 0;
    cl_event gate = clCreateUserEvent(context, &error), event, read;
    size_t global = 1;
    GOOD(error);
    fill(buffer, 0);
    GOOD(clSetKernelArg(add, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(add, 1, sizeof one, &one));
    GOOD(clEnqueueNDRangeKernel(queue, add, 1, NULL, &global, NULL, 1, &gate, &event));
    for (int i = 0; i < 300; i++) /* more than a window */
        launch(queue, add, 1, NULL);
    GOOD(clEnqueueReadBuffer(queue, buffer, CL_FALSE, 0, sizeof value, &value, 0, NULL, &read));
    float *mapped = clEnqueueMapBuffer(queue, buffer, CL_FALSE, CL_MAP_READ, 0, 4, 0, NULL, NULL, &error);
    GOOD(error);
    GOOD(clFlush(queue));
    GOOD(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL));
    CHECK(status > CL_COMPLETE && value == 0);
    GOOD(clSetUserEventStatus(gate, CL_COMPLETE));
    CHECK(clSetUserEventStatus(gate, CL_COMPLETE) == CL_INVALID_OPERATION);
    GOOD(clWaitForEvents(1, &read));
    CHECK(value == 301);
    GOOD(clFinish(queue));
    CHECK(*mapped == 301);
    GOOD(clEnqueueUnmapMemObject(queue, buffer, mapped, 0, NULL, NULL));
}

static void failed_events_fail_what_waits(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_int error, status = 1;
    cl_kernel add = kernel_new("add");
    float one = 1;
    cl_event gate = clCreateUserEvent(context, &error), event;
    size_t global = 1;
    GOOD(error);
    fill(buffer, 9);
    GOOD(clSetKernelArg(add, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(add, 1, sizeof one, &one));
    GOOD(clEnqueueNDRangeKernel(other, add, 1, NULL, &global, NULL, 1, &gate, &event));
    GOOD(clSetUserEventStatus(gate, -77));
    CHECK(clWaitForEvents(1, &event) == CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    GOOD(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL));
    CHECK(status < 0);
}

static void forks(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel slow = slow_new(buffer, 1000000);
    int status;
    fill(buffer, 0);
    launch(queue, slow, 1, NULL);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        exit(0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    GOOD(clFinish(queue));
    CHECK(first(buffer) > 1.9f);
}

/* Counts that the layer's own objects must not show in. */
static void references_stay(void)
{
    cl_uint count = 0;
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel add = slow_new(buffer, 1);
    fill(buffer, 1); /* a new buffer may hold anything */
    launch(queue, add, 1, NULL);
    CHECK(first(buffer) >= 0);
    /* The driver's own references for the read may outlive the answer by a little. */
    for (int i = 0; i < 1000 && count != 1; i++) {
        usleep(1000);
        GOOD(clGetMemObjectInfo(buffer, CL_MEM_REFERENCE_COUNT, sizeof count, &count, NULL));
    }
    CHECK(count == 1);
    GOOD(clGetKernelInfo(add, CL_KERNEL_REFERENCE_COUNT, sizeof count, &count, NULL));
    CHECK(count == 1);
    GOOD(clReleaseKernel(add));
    GOOD(clFinish(queue));
    /* Built again: no kernel of anybody's is left. */
    GOOD(clBuildProgram(program, 1, &device, "", NULL, NULL));
}

static void *thread_run(void *argument)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_int error;
    cl_command_queue mine = clCreateCommandQueue(context, device, 0, &error);
    cl_kernel add = kernel_new("add");
    float one = 1, value, zero = 0;
    (void)argument;
    GOOD(error);
    GOOD(clSetKernelArg(add, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(add, 1, sizeof one, &one));
    for (int round = 0; round < 50; round++) {
        GOOD(clEnqueueWriteBuffer(mine, buffer, CL_TRUE, 0, sizeof zero, &zero, 0, NULL, NULL));
        for (int i = 0; i < 20; i++)
            launch(mine, add, 1, NULL);
        GOOD(clFinish(mine));
        GOOD(clEnqueueReadBuffer(mine, buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
        CHECK(value == 20);
    }
    clReleaseKernel(add);
    clReleaseMemObject(buffer);
    clReleaseCommandQueue(mine);
    return NULL;
}

static void several_threads(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, thread_run, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* ---- parity
 * ---------------------------------------------------------------------------------------------- */

#define SHOW(call) printf("%d: %s: %d\n", __LINE__, #call, (int)(call))

static void parity_launches(void)
{
    cl_mem buffer = buffer_new(0, NULL);
    cl_kernel add = kernel_new("add"), two = kernel_new("two"), four = kernel_new("four");
    float one = 1;
    size_t zero = 0, some = 8, three = 3, huge = (size_t)1 << 40, many[3] = {8, 8, 8}, groups[3] = {4096, 4096, 1};
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, &some, NULL, 0, NULL, NULL));
    SHOW(clSetKernelArg(add, 0, sizeof buffer, &buffer));
    SHOW(clSetKernelArg(add, 1, 2, &one));
    SHOW(clSetKernelArg(add, 9, 4, &one));
    SHOW(clSetKernelArg(add, 1, sizeof one, &one));
    SHOW(clEnqueueNDRangeKernel(queue, add, 0, NULL, &some, NULL, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 4, NULL, many, NULL, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, NULL, NULL, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, &zero, NULL, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, &some, &zero, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, &some, &three, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 1, NULL, &huge, &huge, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, add, 3, NULL, groups, groups, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(NULL, add, 1, NULL, &some, NULL, 0, NULL, NULL));
    SHOW(clSetKernelArg(four, 0, sizeof buffer, &buffer));
    SHOW(clEnqueueNDRangeKernel(queue, four, 1, NULL, &some, &some, 0, NULL, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, four, 1, NULL, &some, NULL, 0, NULL, NULL));
    SHOW(clSetKernelArg(two, 0, sizeof buffer, &buffer));
    SHOW(clSetKernelArg(two, 1, 0, NULL));
    SHOW(clSetKernelArg(two, 1, 64, NULL));
    SHOW(clEnqueueNDRangeKernel(queue, two, 1, NULL, &some, &some, 0, NULL, NULL));
    SHOW(clEnqueueTask(queue, add, 0, NULL, NULL));
    SHOW(clFinish(queue));
}

static void parity_transfers(void)
{
    cl_mem buffer = buffer_new(0, NULL), written = buffer_new(CL_MEM_HOST_WRITE_ONLY, NULL);
    float data[8] = {0};
    cl_int error;
    cl_event event = clCreateUserEvent(context, &error), none = NULL;
    SHOW(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, BYTES + 1, data, 0, NULL, NULL));
    SHOW(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, 4, NULL, 0, NULL, NULL));
    SHOW(clEnqueueReadBuffer(queue, written, CL_TRUE, 0, 4, data, 0, NULL, NULL));
    SHOW(clEnqueueReadBuffer(queue, NULL, CL_TRUE, 0, 4, data, 0, NULL, NULL));
    SHOW(clEnqueueReadBuffer(NULL, buffer, CL_TRUE, 0, 4, data, 0, NULL, NULL));
    SHOW(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, 4, data, 0, &event, NULL));
    SHOW(clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, 4, data, 1, &none, NULL));
    SHOW(clEnqueueWriteBuffer(queue, buffer, CL_FALSE, SIZE_MAX, 4, data, 0, NULL, NULL));
    SHOW(clEnqueueCopyBuffer(queue, buffer, buffer, 0, 4, 64, 0, NULL, NULL));
    SHOW(clEnqueueCopyBuffer(queue, buffer, written, BYTES, 0, 4, 0, NULL, NULL));
    SHOW(clEnqueueFillBuffer(queue, buffer, data, 3, 0, 12, 0, NULL, NULL));
    SHOW(clEnqueueFillBuffer(queue, buffer, data, 4, 2, 8, 0, NULL, NULL));
    SHOW(clEnqueueFillBuffer(queue, buffer, NULL, 4, 0, 8, 0, NULL, NULL));
    SHOW(clEnqueueUnmapMemObject(queue, buffer, data, 0, NULL, NULL));
    SHOW(clWaitForEvents(0, NULL));
    SHOW(clWaitForEvents(1, &none));
    SHOW(clSetUserEventStatus(event, 1));
    SHOW(clSetUserEventStatus(event, CL_COMPLETE));
    SHOW(clGetEventInfo(event, 0, 0, NULL, NULL));
    SHOW(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, 1, data, NULL));
    SHOW(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, 8, data, NULL));
    SHOW(clSetEventCallback(event, CL_COMPLETE, NULL, NULL));
    SHOW(clReleaseEvent(event));
    SHOW(clReleaseEvent(NULL));
    SHOW(clFinish(NULL));
    SHOW(clFlush(NULL));
    SHOW(clReleaseMemObject(NULL));
    SHOW(clReleaseKernel(NULL));
    SHOW(clReleaseCommandQueue(NULL));
    SHOW(clEnqueueMarkerWithWaitList(NULL, 0, NULL, NULL));
    SHOW(clFinish(queue));
}

static void parity(void)
{
    parity_launches();
    parity_transfers();
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"window", window},
    {"fill_is_seen", fill_is_seen},
    {"validation_comes_first", validation_comes_first},
    {"build_options_stay", build_options_stay},
    {"profiling_after_early_wait", profiling_after_early_wait},
    {"const_is_no_proof", const_is_no_proof},
    {"host_takes_its_memory_back", host_takes_its_memory_back},
    {"host_pointer_is_visible", host_pointer_is_visible},
    {"callbacks_in_queue_order", callbacks_in_queue_order},
    {"user_events_hold_back", user_events_hold_back},
    {"failed_events_fail_what_waits", failed_events_fail_what_waits},
    {"forks", forks},
    {"references_stay", references_stay},
    {"several_threads", several_threads},
};
#define CASES (sizeof cases / sizeof cases[0])

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < CASES; i++)
            puts(cases[i].name);
        return 0;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    open_device();
    if (argc == 2 && !strcmp(argv[1], "parity")) {
        parity();
        return 0;
    }
    for (size_t i = 0; i < CASES; i++) {
        if (argc == 2 && !strcmp(argv[1], cases[i].name)) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: trials CASE | parity | --list\n");
    return 2;
}
