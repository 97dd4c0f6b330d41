/*
 * Two streams with host waits between them, for a trace: the second one's first kernel is
 * independent of the first stream, its second one is not. The second stream is on the last device
 * of the platform.
 */
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>

static const char *source =
    "#define BODY { float x = a[0]; for (int i = 0; i < n; i++) x = x * 0.5f + 1.0f; a[0] = x; }\n"
    "kernel void first(global float *a, int n) BODY\n"
    "kernel void independent(global float *a, int n) BODY\n"
    "kernel void dependent(global float *a, int n) BODY\n";

static void good(cl_int error, int line)
{
    if (error == CL_SUCCESS)
        return;
    fprintf(stderr, "claim: line %d: error %d\n", line, error);
    exit(1);
}
#define GOOD(call) good(call, __LINE__)

static cl_context context;
static cl_program program;

static void run(cl_command_queue queue, const char *name, cl_mem buffer, int rounds)
{
    cl_int error;
    size_t one = 1;
    cl_kernel kernel = clCreateKernel(program, name, &error);
    GOOD(error);
    GOOD(clSetKernelArg(kernel, 0, sizeof buffer, &buffer));
    GOOD(clSetKernelArg(kernel, 1, sizeof rounds, &rounds));
    GOOD(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL));
    GOOD(clReleaseKernel(kernel));
}

int main(void)
{
    cl_platform_id platform;
    cl_device_id devices[4];
    cl_uint count;
    cl_int error;
    float value = 0;
    GOOD(clGetPlatformIDs(1, &platform, NULL));
    GOOD(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 4, devices, &count));
    count = count > 4 ? 4 : count;
    context = clCreateContext(NULL, count, devices, NULL, NULL, &error);
    GOOD(error);
    program = clCreateProgramWithSource(context, 1, &source, NULL, &error);
    GOOD(error);
    GOOD(clBuildProgram(program, 0, NULL, "", NULL, NULL));
    cl_command_queue one = clCreateCommandQueue(context, devices[0], 0, &error);
    GOOD(error);
    cl_command_queue two = clCreateCommandQueue(context, devices[count - 1], 0, &error);
    GOOD(error);
    cl_mem a = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof value, &value, &error);
    GOOD(error);
    cl_mem b = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, sizeof value, &value, &error);
    GOOD(error);
    /* Drivers compile at the first launch. The last of each name counts. */
    run(one, "first", a, 1);
    run(two, "independent", b, 1);
    run(two, "dependent", b, 1);
    GOOD(clEnqueueReadBuffer(one, a, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
    GOOD(clEnqueueReadBuffer(two, b, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));

    run(one, "first", a, 20000000);
    GOOD(clFinish(one));
    run(two, "independent", b, 20000000);
    run(two, "dependent", a, 1000);
    GOOD(clFinish(two));
    GOOD(clEnqueueReadBuffer(two, a, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
    GOOD(clEnqueueReadBuffer(two, b, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
    return value > 1.9f ? 0 : 1;
}
