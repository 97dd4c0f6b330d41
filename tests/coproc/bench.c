/*
 * Programs to measure with the layer on and off:  bench NAME  prints nanoseconds, of a call or of
 * the whole. The linear algebra is written from the definitions: jacobi-1D, LU without pivoting,
 * FDTD in two dimensions, Gram-Schmidt.
 */
#include <CL/cl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static cl_device_id device;
static cl_context context;
static cl_command_queue queues[4];
static cl_program program;

static const char source[] =
    "kernel void spin(global float *a, int n) { float x = a[0]; for (int i = 0; i < n; i++) x = x "
    "* 0.5f + 1.0f; a[0] = x; }\n"
    "kernel void jacobi(global float *a, global float *b, int n) { int i = get_global_id(0);\n"
    "    if (i > 0 && i < n - 1) b[i] = 0.33333f * (a[i - 1] + a[i] + a[i + 1]); }\n"
    "kernel void copy(global float *a, global float *b, int n) { int i = get_global_id(0); if (i > "
    "0 && i < n - 1) a[i] = b[i]; }\n"
    "kernel void lu_column(global float *a, int k, int n) { int i = get_global_id(0);\n"
    "    if (i > k && i < n) a[i * n + k] /= a[k * n + k]; }\n"
    "kernel void lu_rest(global float *a, int k, int n) { int j = get_global_id(0), i = "
    "get_global_id(1);\n"
    "    if (i > k && j > k && i < n && j < n) a[i * n + j] -= a[i * n + k] * a[k * n + j]; }\n"
    "kernel void fdtd_y(global float *ex, global float *ey, global float *hz, int t, int n) {\n"
    "    int j = get_global_id(0), i = get_global_id(1);\n"
    "    ey[i * n + j] = i ? ey[i * n + j] - 0.5f * (hz[i * n + j] - hz[(i - 1) * n + j]) : "
    "(float)t; }\n"
    "kernel void fdtd_x(global float *ex, global float *ey, global float *hz, int t, int n) {\n"
    "    int j = get_global_id(0), i = get_global_id(1);\n"
    "    if (j) ex[i * n + j] -= 0.5f * (hz[i * n + j] - hz[i * n + j - 1]); }\n"
    "kernel void fdtd_z(global float *ex, global float *ey, global float *hz, int t, int n) {\n"
    "    int j = get_global_id(0), i = get_global_id(1);\n"
    "    if (i < n - 1 && j < n - 1) hz[i * n + j] -= 0.7f * (ex[i * n + j + 1] - ex[i * n + j] + "
    "ey[(i + 1) * n + j] - ey[i * n + j]); }\n"
    "kernel void gs_norm(global float *a, global float *r, int k, int n) { float s = 0;\n"
    "    for (int i = 0; i < n; i++) s += a[i * n + k] * a[i * n + k]; r[k * n + k] = sqrt(s); }\n"
    "kernel void gs_column(global float *a, global float *r, global float *q, int k, int n) { int "
    "i = get_global_id(0);\n"
    "    q[i * n + k] = a[i * n + k] / r[k * n + k]; }\n"
    "kernel void gs_rest(global float *a, global float *r, global float *q, int k, int n) { int j "
    "= get_global_id(0);\n"
    "    if (j > k) { float s = 0; for (int i = 0; i < n; i++) s += q[i * n + k] * a[i * n + j]; "
    "r[k * n + j] = s;\n"
    "    for (int i = 0; i < n; i++) a[i * n + j] -= q[i * n + k] * s; } }\n";

static void good(cl_int error, int line)
{
    if (error == CL_SUCCESS)
        return;
    fprintf(stderr, "bench: line %d: error %d\n", line, error);
    exit(1);
}
#define GOOD(call) good(call, __LINE__)

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void device_open(void)
{
    cl_platform_id platform;
    cl_int error;
    const char *text = source;
    GOOD(clGetPlatformIDs(1, &platform, NULL));
    GOOD(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, NULL));
    context = clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    GOOD(error);
    program = clCreateProgramWithSource(context, 1, &text, NULL, &error);
    GOOD(error);
    GOOD(clBuildProgram(program, 1, &device, "", NULL, NULL));
    for (int i = 0; i < 4; i++) {
        queues[i] = clCreateCommandQueue(context, device, 0, &error);
        GOOD(error);
    }
}

static cl_mem buffer_new(size_t bytes)
{
    cl_int error;
    float *data = calloc(1, bytes);
    for (size_t i = 0; i < bytes / sizeof *data; i++)
        data[i] = 1.0f + (float)(i * 7 % 13);
    cl_mem buffer = clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, bytes, data, &error);
    GOOD(error);
    free(data);
    return buffer;
}

static cl_kernel kernel_new(const char *name)
{
    cl_int error;
    cl_kernel kernel = clCreateKernel(program, name, &error);
    GOOD(error);
    return kernel;
}

static void set(cl_kernel kernel, cl_uint index, cl_mem buffer)
{
    GOOD(clSetKernelArg(kernel, index, sizeof buffer, &buffer));
}
static void set_int(cl_kernel kernel, cl_uint index, int value)
{
    GOOD(clSetKernelArg(kernel, index, sizeof value, &value));
}

static void launch(int queue, cl_kernel kernel, size_t x, size_t y, size_t group)
{
    size_t global[2] = {x, y}, local[2] = {group, 1};
    GOOD(clEnqueueNDRangeKernel(queues[queue], kernel, y ? 2 : 1, NULL, global, local, 0, NULL, NULL));
}

static float first(int queue, cl_mem buffer)
{
    float value;
    GOOD(clEnqueueReadBuffer(queues[queue], buffer, CL_TRUE, 0, sizeof value, &value, 0, NULL, NULL));
    return value;
}

/* ---- streams
 * ------------------------------------------------------------------------------------------- */

/* Each stream: a launch and a host wait, on its own queue and buffer. Per round of all streams. */
static double streams(int count, int rounds_of_kernel, int rounds)
{
    cl_mem buffers[4];
    cl_kernel kernels[4];
    double start = 0;
    for (int i = 0; i < count; i++) {
        buffers[i] = buffer_new(4096);
        kernels[i] = kernel_new("spin");
        set(kernels[i], 0, buffers[i]);
        set_int(kernels[i], 1, rounds_of_kernel);
    }
    for (int round = -rounds / 10 - 2; round < rounds; round++) {
        if (round == 0) {
            for (int i = 0; i < count; i++)
                first(i, buffers[i]);
            start = now_ns();
        }
        for (int i = 0; i < count; i++) {
            launch(i, kernels[i], 1, 0, 1);
            GOOD(clFinish(queues[i]));
        }
    }
    for (int i = 0; i < count; i++)
        first(i, buffers[i]);
    return (now_ns() - start) / rounds;
}

/* Host work beside a kernel of about the same length. */
static double overlap(void)
{
    cl_mem buffer = buffer_new(4096);
    cl_kernel kernel = kernel_new("spin");
    set(kernel, 0, buffer);
    set_int(kernel, 1, 300000);
    volatile float x = 1;
    double start = 0;
    for (int round = -5; round < 100; round++) {
        if (round == 0)
            start = now_ns();
        launch(0, kernel, 1, 0, 1);
        GOOD(clFinish(queues[0]));
        double until = now_ns() + 1e6;
        while (now_ns() < until)
            x = x * 0.5f + 1;
    }
    first(0, buffer);
    return (now_ns() - start) / 100;
}

/* What a call costs the caller, in bursts that fit the window. */
static double launch_call(void)
{
    cl_mem buffer = buffer_new(4096);
    cl_kernel kernel = kernel_new("spin");
    double total = 0;
    set(kernel, 0, buffer);
    set_int(kernel, 1, 1);
    launch(0, kernel, 1, 0, 1);
    first(0, buffer);
    for (int burst = 0; burst < 500; burst++) {
        double start = now_ns();
        for (int i = 0; i < 24; i++)
            launch(0, kernel, 1, 0, 1);
        total += now_ns() - start;
        first(0, buffer);
    }
    return total / 500 / 24;
}

static double pass_call(void)
{
    cl_kernel kernel = kernel_new("spin");
    cl_uint count;
    double start = now_ns();
    for (int i = 0; i < 1000000; i++)
        GOOD(clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof count, &count, NULL));
    return (now_ns() - start) / 1000000;
}

static double argument_call(void)
{
    cl_kernel kernel = kernel_new("spin");
    double start = now_ns();
    for (int i = 0; i < 1000000; i++)
        set_int(kernel, 1, i);
    return (now_ns() - start) / 1000000;
}

/* ---- whole programs
 * ------------------------------------------------------------------------------------- */

static double writes(void)
{
    size_t bytes = 1u << 20;
    cl_mem buffer = buffer_new(bytes);
    char *data = malloc(bytes);
    double start = 0;
    memset(data, 1, bytes);
    for (int i = -20; i < 300; i++) {
        if (i == 0)
            start = now_ns();
        GOOD(clEnqueueWriteBuffer(queues[0], buffer, CL_TRUE, 0, bytes, data, 0, NULL, NULL));
    }
    return (now_ns() - start) / 300;
}

static double jacobi(void)
{
    enum { N = 4096, STEPS = 5000 };
    cl_mem a = buffer_new(N * 4), b = buffer_new(N * 4);
    cl_kernel one = kernel_new("jacobi"), two = kernel_new("copy");
    double start = 0;
    set(one, 0, a), set(one, 1, b), set_int(one, 2, N);
    set(two, 0, a), set(two, 1, b), set_int(two, 2, N);
    for (int t = -50; t < STEPS; t++) {
        if (t == 0)
            first(0, a), start = now_ns();
        launch(0, one, N, 0, 256);
        GOOD(clFinish(queues[0]));
        launch(0, two, N, 0, 256);
        GOOD(clFinish(queues[0]));
    }
    first(0, a);
    return now_ns() - start;
}

static double lu(void)
{
    enum { N = 512 };
    cl_mem a = buffer_new(N * N * 4);
    cl_kernel column = kernel_new("lu_column"), rest = kernel_new("lu_rest");
    double start = 0;
    set(column, 0, a), set_int(column, 2, N);
    set(rest, 0, a), set_int(rest, 2, N);
    for (int k = -4; k < N - 1; k++) {
        if (k == 0)
            first(0, a), start = now_ns();
        set_int(column, 1, k < 0 ? N : k);
        launch(0, column, N, 0, 256);
        GOOD(clFinish(queues[0]));
        set_int(rest, 1, k < 0 ? N : k);
        launch(0, rest, N, N, 256);
        GOOD(clFinish(queues[0]));
    }
    first(0, a);
    return now_ns() - start;
}

static double fdtd(void)
{
    enum { N = 1024, STEPS = 60 };
    static const char *const names[] = {"fdtd_y", "fdtd_x", "fdtd_z"};
    cl_mem fields[3];
    cl_kernel kernels[3];
    double start = 0;
    for (int i = 0; i < 3; i++)
        fields[i] = buffer_new(N * N * 4);
    for (int i = 0; i < 3; i++) {
        kernels[i] = kernel_new(names[i]);
        for (cl_uint j = 0; j < 3; j++)
            set(kernels[i], j, fields[j]);
        set_int(kernels[i], 4, N);
    }
    for (int t = -3; t < STEPS; t++) {
        if (t == 0)
            first(0, fields[0]), start = now_ns();
        for (int i = 0; i < 3; i++) {
            set_int(kernels[i], 3, t);
            launch(0, kernels[i], N, N, 256);
        }
        GOOD(clFinish(queues[0]));
    }
    first(0, fields[2]);
    return now_ns() - start;
}

static double gramschmidt(void)
{
    enum { N = 384 };
    cl_mem a = buffer_new(N * N * 4), r = buffer_new(N * N * 4), q = buffer_new(N * N * 4);
    cl_kernel norm = kernel_new("gs_norm"), column = kernel_new("gs_column"), rest = kernel_new("gs_rest");
    double start = 0;
    set(norm, 0, a), set(norm, 1, r), set_int(norm, 3, N);
    set(column, 0, a), set(column, 1, r), set(column, 2, q), set_int(column, 4, N);
    set(rest, 0, a), set(rest, 1, r), set(rest, 2, q), set_int(rest, 4, N);
    for (int k = -2; k < N; k++) {
        if (k == 0)
            first(0, a), start = now_ns();
        set_int(norm, 2, k < 0 ? 0 : k), set_int(column, 3, k < 0 ? 0 : k), set_int(rest, 3, k < 0 ? 0 : k);
        launch(0, norm, 1, 0, 1);
        launch(0, column, N, 0, 128);
        launch(0, rest, N, 0, 128);
        GOOD(clFinish(queues[0]));
    }
    first(0, a);
    return now_ns() - start;
}

static double streams_1ms(void)
{
    return streams(2, 300000, 150);
}
static double streams_10us(void)
{
    return streams(2, 3000, 3000);
}
static double streams_tiny(void)
{
    return streams(4, 1, 3000);
}

static const struct {
    const char *name;
    double (*run)(void);
} benches[] = {
    {"streams-1ms", streams_1ms},
    {"streams-10us", streams_10us},
    {"streams-tiny", streams_tiny},
    {"overlap", overlap},
    {"launch-call", launch_call},
    {"pass-call", pass_call},
    {"argument-call", argument_call},
    {"writes-1mib", writes},
    {"jacobi-1d", jacobi},
    {"lu", lu},
    {"fdtd-2d", fdtd},
    {"gramschmidt", gramschmidt},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof benches / sizeof benches[0]; i++) {
        if (strcmp(argv[1], benches[i].name) == 0) {
            device_open();
            printf("%.1f\n", benches[i].run());
            return 0;
        }
    }
    fprintf(stderr, "usage: bench NAME\n");
    return 2;
}
