/*
 * Random OpenCL programs, free of races by the API's order, which a model here keeps as sets:
 * queues of both kinds, on all devices of the platform, events, user events, markers, barriers,
 * sub-buffers, buffers over host memory, maps, fills, copies, transfers that block and such that do
 * not. fuzz_opencl FIRST COUNT    prints `SEED HASH` for each program: what the host saw at each
 * wait, and memory at the end The same with the layer on and off must print the same. Results are
 * also compared with running it in the order of issue here.
 */
#include <CL/cl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS  4u
#define BYTES    512u
#define PART     128u /* what sub-buffers are aligned to */
#define COMMANDS 64u
#define QUEUES   4u
#define USER     QUEUES

enum kind { MIX, COPY, FILL, WRITE, READ, MAP, MARKER, BARRIER, USER_EVENT };

struct range {
    unsigned buffer, at, bytes;
};

struct command {
    enum kind kind;
    unsigned queue, id;
    struct range source, target; /* bytes 0: none */
    uint64_t before;             /* bits of commands that the API orders before it */
    cl_event event;
    uint8_t host[BYTES], expected[BYTES];
    bool open; /* a user event that is not set */
};

static cl_context context;
static cl_device_id devices[4];
static cl_uint device_count;
static cl_program program;
static cl_kernel mix;
static unsigned seed, count;
static struct command commands[COMMANDS];
static uint8_t expected[BUFFERS][BYTES], over[BYTES];
static uint64_t covered, queue_before[QUEUES], hash;
static cl_mem buffers[BUFFERS], parts[BUFFERS];
static unsigned part_at[BUFFERS];
static cl_command_queue queues[QUEUES];
static bool in_order[QUEUES], wrong, no_user_events;

static void check(cl_int error, const char *what)
{
    if (error == CL_SUCCESS)
        return;
    fprintf(stderr, "program: %s gives %d\n", what, error);
    exit(2);
}

static unsigned pick(unsigned limit)
{
    return (unsigned)rand_r(&seed) % limit;
}

static void hash_add(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

/* ---- the model
 * -------------------------------------------------------------------------------------- */

static const char source_text[] =
    "kernel void blend(global uchar *s, global uchar *t, uint from, uint at, uint sn, uint tn, "
    "uint id) {\n"
    "    uint h = id * 2654435761u + 1;\n"
    "    for (uint i = 0; i < sn; i++) h = (h ^ s[from + i]) * 16777619u;\n"
    "    for (uint i = 0; i < tn; i++) t[at + i] = (uchar)((h >> (i % 4 * 7)) + i);\n"
    "}\n";

static void model_mix(const struct command *command)
{
    uint32_t h = command->id * 2654435761u + 1;
    for (uint32_t i = 0; i < command->source.bytes; i++)
        h = (h ^ expected[command->source.buffer][command->source.at + i]) * 16777619u;
    for (uint32_t i = 0; i < command->target.bytes; i++)
        expected[command->target.buffer][command->target.at + i] = (uint8_t)((h >> (i % 4 * 7)) + i);
}

static void model_run(struct command *command)
{
    uint8_t *target = expected[command->target.buffer] + command->target.at;
    const uint8_t *source = expected[command->source.buffer] + command->source.at;
    switch (command->kind) {
    case MIX:
        model_mix(command);
        break;
    case COPY:
        memmove(target, source, command->target.bytes);
        break;
    case FILL:
        for (unsigned i = 0; i < command->target.bytes; i++)
            target[i] = (uint8_t)(command->id + i % 4);
        break;
    case WRITE:
        memcpy(target, command->host, command->target.bytes);
        break;
    case READ:
        memcpy(command->expected, source, command->source.bytes);
        break;
    case MAP: /* what was there, then each byte plus one */
        memcpy(command->expected, target, command->target.bytes);
        for (unsigned i = 0; i < command->target.bytes; i++)
            target[i]++;
        break;
    default:
        break;
    }
}

static bool overlap(const struct range *a, const struct range *b)
{
    return a->bytes && b->bytes && a->buffer == b->buffer && a->at < b->at + b->bytes && b->at < a->at + a->bytes;
}

static bool conflict(const struct command *a, const struct command *b)
{
    return overlap(&a->source, &b->target) || overlap(&a->target, &b->source) || overlap(&a->target, &b->target);
}

static uint64_t closure(unsigned i)
{
    return commands[i].before | 1ull << i;
}

static uint64_t order_before(unsigned queue)
{
    uint64_t before = covered | queue_before[queue];
    for (unsigned i = 0; i < count; i++)
        if (commands[i].queue == queue && in_order[queue])
            before |= closure(i);
    return before;
}

/* ---- waits of the host
 * -------------------------------------------------------------------------------- */

static void user_events_set(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (commands[i].open)
            check(clSetUserEventStatus(commands[i].event, CL_COMPLETE), "clSetUserEventStatus");
        commands[i].open = false;
    }
}

static void waited(uint64_t set)
{
    uint64_t newly = set & ~covered;
    covered |= set;
    for (unsigned i = 0; i < count; i++) {
        if (!(newly >> i & 1))
            continue;
        if (commands[i].kind == READ) {
            hash_add(commands[i].host, commands[i].source.bytes);
            wrong |= memcmp(commands[i].host, commands[i].expected, commands[i].source.bytes) != 0;
        } else if (commands[i].kind == WRITE) {
            memset(commands[i].host, 0xee, BYTES); /* it is the application's again */
        }
    }
}

static void wait_event(unsigned i)
{
    user_events_set();
    check(clWaitForEvents(1, &commands[i].event), "clWaitForEvents");
    if (pick(4) == 0) {
        cl_int status = 1;
        check(clGetEventInfo(commands[i].event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL),
              "clGetEventInfo");
        wrong |= status != CL_COMPLETE;
    }
    waited(closure(i));
}

static void wait_queue(unsigned queue)
{
    uint64_t set = 0;
    user_events_set();
    for (unsigned i = 0; i < count; i++)
        if (commands[i].queue == queue)
            set |= closure(i);
    check(clFinish(queues[queue]), "clFinish");
    waited(set);
}

/* ---- commands
 * -------------------------------------------------------------------------------------------- */

/* The buffer itself or its sub-buffer, when that holds the range. */
static cl_mem handle(const struct range *range, size_t *at)
{
    unsigned start = part_at[range->buffer];
    *at = range->at;
    if (!parts[range->buffer] || range->at < start || range->at + range->bytes > start + PART || pick(2))
        return buffers[range->buffer];
    *at = range->at - start;
    return parts[range->buffer];
}

static void mix_enqueue(struct command *command, cl_uint waits, const cl_event *list)
{
    size_t from, at, one = 1, global = 1;
    cl_mem source = handle(&command->source, &from), target = handle(&command->target, &at);
    cl_uint values[5] = {(cl_uint)from, (cl_uint)at, command->source.bytes, command->target.bytes, command->id};
    check(clSetKernelArg(mix, 0, sizeof source, &source), "clSetKernelArg");
    check(clSetKernelArg(mix, 1, sizeof target, &target), "clSetKernelArg");
    for (cl_uint i = 0; i < 5; i++)
        check(clSetKernelArg(mix, 2 + i, sizeof values[i], &values[i]), "clSetKernelArg");
    check(clEnqueueNDRangeKernel(queues[command->queue], mix, 1, NULL, &global, pick(2) ? &one : NULL, waits, list,
                                 &command->event),
          "clEnqueueNDRangeKernel");
}

static void map_enqueue(struct command *command, cl_uint waits, const cl_event *list)
{
    unsigned index = (unsigned)(command - commands);
    cl_int error;
    cl_event mapped;
    cl_command_queue queue = queues[command->queue];
    user_events_set();
    uint8_t *bytes = clEnqueueMapBuffer(queue, buffers[command->target.buffer], pick(2) ? CL_TRUE : CL_FALSE,
                                        CL_MAP_READ | CL_MAP_WRITE, command->target.at, command->target.bytes, waits,
                                        list, &mapped, &error);
    check(error, "clEnqueueMapBuffer");
    check(clWaitForEvents(1, &mapped), "clWaitForEvents");
    waited(command->before);
    hash_add(bytes, command->target.bytes);
    wrong |= memcmp(bytes, command->expected, command->target.bytes) != 0;
    for (unsigned i = 0; i < command->target.bytes; i++)
        bytes[i]++;
    check(clEnqueueUnmapMemObject(queue, buffers[command->target.buffer], bytes, 0, NULL, &command->event),
          "clEnqueueUnmapMemObject");
    clReleaseEvent(mapped);
    (void)index;
}

static void transfer_enqueue(struct command *command, cl_uint waits, const cl_event *list)
{
    size_t from, at;
    cl_command_queue queue = queues[command->queue];
    bool blocking = pick(3) == 0;
    uint8_t pattern[4];
    cl_mem source = handle(&command->source, &from), target = handle(&command->target, &at);
    if (blocking && (command->kind == READ || command->kind == WRITE))
        user_events_set();
    switch (command->kind) {
    case COPY:
        check(clEnqueueCopyBuffer(queue, source, target, from, at, command->target.bytes, waits, list, &command->event),
              "clEnqueueCopyBuffer");
        return;
    case FILL:
        for (unsigned i = 0; i < 4; i++)
            pattern[i] = (uint8_t)(command->id + i);
        check(clEnqueueFillBuffer(queue, target, pattern, 4, at, command->target.bytes, waits, list, &command->event),
              "clEnqueueFillBuffer");
        return;
    case WRITE:
        check(clEnqueueWriteBuffer(queue, target, blocking, at, command->target.bytes, command->host, waits, list,
                                   &command->event),
              "clEnqueueWriteBuffer");
        break;
    case READ:
        check(clEnqueueReadBuffer(queue, source, blocking, from, command->source.bytes, command->host, waits, list,
                                  &command->event),
              "clEnqueueReadBuffer");
        break;
    default:
        return;
    }
    if (blocking)
        waited(closure((unsigned)(command - commands)));
}

static void command_enqueue(struct command *command, uint64_t waits)
{
    cl_event list[COMMANDS];
    cl_uint events = 0;
    unsigned index = count;
    command->before = order_before(command->queue);
    for (unsigned i = 0; i < index; i++) {
        if (waits >> i & 1) {
            list[events++] = commands[i].event;
            command->before |= closure(i);
        } else if (!waits && commands[i].queue == command->queue && command->kind >= MARKER) {
            command->before |= closure(i);
        }
    }
    if (command->kind == BARRIER)
        queue_before[command->queue] |= command->before | 1ull << index;
    commands[index] = *command;
    command = &commands[index];
    model_run(command);
    count++;
    cl_command_queue queue = queues[command->queue];
    const cl_event *given = events ? list : NULL;
    if (command->kind == MIX)
        mix_enqueue(command, events, given);
    else if (command->kind == MAP)
        map_enqueue(command, events, given);
    else if (command->kind == MARKER)
        check(clEnqueueMarkerWithWaitList(queue, events, given, &command->event), "clEnqueueMarkerWithWaitList");
    else if (command->kind == BARRIER)
        check(clEnqueueBarrierWithWaitList(queue, events, given, &command->event), "clEnqueueBarrierWithWaitList");
    else
        transfer_enqueue(command, events, given);
    if (pick(8) == 0)
        check(clFlush(queue), "clFlush");
}

static void range_random(struct range *range, unsigned unit)
{
    range->buffer = pick(BUFFERS);
    range->at = pick(BYTES / unit) * unit;
    range->bytes = unit * (1 + pick((BYTES - range->at) / unit));
}

static void command_random(struct command *command)
{
    static const enum kind kinds[] = {MIX, MIX, MIX, MIX, COPY, COPY, FILL, WRITE, WRITE, READ, READ, MAP};
    memset(command, 0, sizeof *command);
    command->kind = kinds[pick(sizeof kinds / sizeof kinds[0])];
    command->queue = pick(QUEUES);
    command->id = count + 1;
    if (command->kind != FILL && command->kind != WRITE && command->kind != MAP)
        range_random(&command->source, 1);
    if (command->kind != READ)
        range_random(&command->target, command->kind == FILL ? 4 : 1);
    if (command->kind == COPY) {
        unsigned bytes = command->source.bytes < command->target.bytes ? command->source.bytes : command->target.bytes;
        command->source.bytes = command->target.bytes = bytes;
        if (overlap(&command->source, &command->target))
            command->kind = MIX;
    }
    for (unsigned i = 0; command->kind == WRITE && i < BYTES; i++)
        command->host[i] = (uint8_t)pick(256);
}

static void operation(void)
{
    struct command command;
    command_random(&command);
    uint64_t before = order_before(command.queue), unordered = 0;
    for (unsigned i = 0; i < count; i++)
        if (!(before >> i & 1) && conflict(&command, &commands[i]))
            unordered |= 1ull << i;
    if (unordered && pick(2)) {
        for (unsigned i = 0; i < count; i++)
            if ((unordered >> i & 1) && !(covered >> i & 1)) {
                if (pick(2))
                    wait_event(i);
                else
                    wait_queue(commands[i].queue);
            }
        unordered = 0;
    }
    command_enqueue(&command, unordered);
}

static void step(void)
{
    struct command command = {.queue = pick(QUEUES), .id = count + 1};
    uint64_t waits = 0;
    cl_int error;
    switch (pick(20)) {
    case 0:
        wait_queue(pick(QUEUES));
        return;
    case 1:
        if (count)
            wait_event(pick(count));
        return;
    case 2:
        if (no_user_events)
            return;
        commands[count] = (struct command){.kind = USER_EVENT, .queue = USER, .open = true};
        commands[count].event = clCreateUserEvent(context, &error);
        check(error, "clCreateUserEvent");
        count++;
        return;
    case 3:
    case 4:
        command.kind = pick(2) ? MARKER : BARRIER;
        for (unsigned i = 0; i < count; i++)
            waits |= pick(6) == 0 && pick(2) ? 1ull << i : 0;
        command_enqueue(&command, waits);
        return;
    default:
        operation();
    }
}

/* ---- programs
 * -----------------------------------------------------------------------------------------------
 */

static void program_open(void)
{
    cl_int error;
    count = 0;
    covered = 0;
    hash = 0xcbf29ce484222325u;
    wrong = false;
    memset(queue_before, 0, sizeof queue_before);
    memset(expected, 0, sizeof expected);
    memset(over, 0, sizeof over);
    for (unsigned i = 0; i < BUFFERS; i++) {
        cl_mem_flags flags = i == 0 ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR;
        buffers[i] = clCreateBuffer(context, CL_MEM_READ_WRITE | flags, BYTES, i == 0 ? over : expected[i], &error);
        check(error, "clCreateBuffer");
        part_at[i] = pick(BYTES / PART) * PART;
        cl_buffer_region region = {part_at[i], PART};
        parts[i] = pick(2)
                       ? clCreateSubBuffer(buffers[i], CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &error)
                       : NULL;
        check(error, "clCreateSubBuffer");
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        in_order[i] = pick(3) > 0;
        cl_command_queue_properties properties =
            (in_order[i] ? 0 : CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) | (pick(6) ? 0 : CL_QUEUE_PROFILING_ENABLE);
        queues[i] = clCreateCommandQueue(context, devices[i % device_count], properties, &error);
        check(error, "clCreateCommandQueue");
    }
}

static void program_close(void)
{
    uint8_t bytes[BYTES];
    user_events_set();
    for (unsigned i = 0; i < QUEUES; i++)
        wait_queue(i);
    for (unsigned i = 0; i < BUFFERS; i++) {
        check(clEnqueueReadBuffer(queues[0], buffers[i], CL_TRUE, 0, BYTES, bytes, 0, NULL, NULL),
              "clEnqueueReadBuffer");
        hash_add(bytes, BYTES);
        wrong |= memcmp(bytes, expected[i], BYTES) != 0;
    }
    for (unsigned i = 0; i < count; i++)
        clReleaseEvent(commands[i].event);
    for (unsigned i = 0; i < BUFFERS; i++) {
        clReleaseMemObject(buffers[i]);
        if (parts[i])
            clReleaseMemObject(parts[i]);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        clReleaseCommandQueue(queues[i]);
}

int main(int argc, char **argv)
{
    const char *text = source_text;
    cl_platform_id platform;
    cl_int error;
    bool failed = false;
    no_user_events = argc == 4 && !strcmp(argv[3], "no-user-events");
    if (argc != 3 && !no_user_events) {
        fprintf(stderr, "usage: fuzz_opencl FIRST COUNT [no-user-events]\n");
        return 2;
    }
    check(clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 4, devices, &device_count), "clGetDeviceIDs");
    device_count = device_count > 4 ? 4 : device_count;
    context = clCreateContext(NULL, device_count, devices, NULL, NULL, &error);
    check(error, "clCreateContext");
    program = clCreateProgramWithSource(context, 1, &text, NULL, &error);
    check(error, "clCreateProgramWithSource");
    check(clBuildProgram(program, 0, NULL, "", NULL, NULL), "clBuildProgram");
    mix = clCreateKernel(program, "blend", &error);
    check(error, "clCreateKernel");
    unsigned first = (unsigned)strtoul(argv[1], NULL, 0), last = first + (unsigned)strtoul(argv[2], NULL, 0);
    for (unsigned number = first; number < last; number++) {
        seed = number;
        program_open();
        unsigned steps = 2 + pick(COMMANDS - 8);
        for (unsigned i = 0; i < steps && count + 1 < COMMANDS; i++)
            step();
        program_close();
        printf("%u %016llx%s\n", number, (unsigned long long)hash, wrong ? " WRONG" : "");
        failed |= wrong;
    }
    clReleaseKernel(mix);
    clReleaseProgram(program);
    clReleaseContext(context);
    return failed;
}
