/*
 * Programs: what their text and their build options admit beyond arguments. A kernel that may print
 * is waited for; one of OpenCL C 2.0 or later may have variables at program scope, pipes and queues
 * of its own, so it is a full barrier, and so is what came as a binary. Not for kernels.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

struct program *program_find(cl_program native)
{
    return handle_find(native, HANDLE_PROGRAM);
}

void program_unuse(struct program *program)
{
    if (program && atomic_fetch_sub(&program->uses, 1) == 1)
        free(program);
}

void program_judge(const struct program *program, bool *prints, bool *unknown)
{
    *prints = !program || !program->from_source || program->prints;
    *unknown = !program || !program->from_source || program->modern;
}

/* ---- text
 * ------------------------------------------------------------------------------------------- */

static bool one_of(const char *token, size_t length, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == length && !memcmp(words[i], token, length))
            return true;
    return false;
}

/*
 * The token printf, or pieces that ## could join to it, or text that is not here (#include). Line
 * ends that a backslash hides are taken out first; a trigraph for the backslash counts as a yes.
 */
bool source_prints(const char *text)
{
    static const char *const heads[] = {"p", "pr", "pri", "prin", "print"}, *const tails[] = {"rintf", "intf", "ntf",
                                                                                              "tf", "f"};
    char *joined = strdup(text), *out = joined;
    if (!joined || strstr(text, "?\?/"))
        return true;
    for (const char *in = text; *in; in++) {
        if (in[0] == '\\' && (in[1] == '\n' || (in[1] == '\r' && in[2] == '\n')))
            in += in[1] == '\r' ? 2 : 1;
        else
            *out++ = *in;
    }
    *out = '\0';
    bool prints = false, head = false, tail = false;
    bool pastes = strstr(joined, "##") || strstr(joined, "%:%:");
    for (const char *at = joined; *at;) {
        const char *token = at;
        while (isalnum((unsigned char)*at) || *at == '_')
            at++;
        size_t length = (size_t)(at - token);
        if (!length)
            at++;
        prints |= length == 6 && !memcmp(token, "printf", 6);
        prints |= length == 7 && !memcmp(token, "include", 7);
        head |= one_of(token, length, heads, 5);
        tail |= one_of(token, length, tails, 5);
    }
    free(joined);
    return prints || (pastes && head && tail);
}

/* Without -cl-std it is the latest 1.x. */
static void options_judge(struct program *program, const char *options)
{
    if (!options)
        return;
    program->prints |= source_prints(options);
    for (const char *at = options; (at = strstr(at, "-cl-std")); at += 7)
        if (strncmp(at, "-cl-std=CL1.", 12) != 0)
            program->modern = true;
    if (strchr(options, '@'))
        program->modern = true; /* a file of options, should a driver know such a thing */
}

static struct program *program_open(cl_program native)
{
    if (!native)
        return NULL;
    struct program *program = layer_memory(sizeof *program);
    program->uses = 1;
    handle_add(&program->entry, native, HANDLE_PROGRAM);
    return program;
}

/* ---- calls
 * --------------------------------------------------------------------------------------------- */

cl_program layer_clCreateProgramWithSource(cl_context context, cl_uint count, const char **strings,
                                           const size_t *lengths, cl_int *error_ret)
{
    cl_program native = real->clCreateProgramWithSource(context, count, strings, lengths, error_ret);
    struct program *program = program_open(native);
    if (!program)
        return native;
    size_t total = 0;
    for (cl_uint i = 0; i < count; i++)
        total += lengths && lengths[i] ? lengths[i] : strlen(strings[i]);
    char *text = layer_memory(total + 1), *end = text;
    for (cl_uint i = 0; i < count; i++) {
        size_t length = lengths && lengths[i] ? lengths[i] : strlen(strings[i]);
        memcpy(end, strings[i], length);
        end += length;
    }
    for (char *at = text; at < end; at++)
        if (!*at)
            *at = ' ';
    program->from_source = true;
    program->prints = source_prints(text);
    free(text);
    return native;
}

cl_program layer_clCreateProgramWithBinary(cl_context context, cl_uint count, const cl_device_id *devices,
                                           const size_t *lengths, const unsigned char **binaries, cl_int *status,
                                           cl_int *error_ret)
{
    cl_program native = real->clCreateProgramWithBinary(context, count, devices, lengths, binaries, status, error_ret);
    program_open(native);
    return native;
}

cl_program layer_clCreateProgramWithBuiltInKernels(cl_context context, cl_uint count, const cl_device_id *devices,
                                                   const char *names, cl_int *error_ret)
{
    cl_program native = real->clCreateProgramWithBuiltInKernels(context, count, devices, names, error_ret);
    program_open(native);
    return native;
}

cl_program layer_clCreateProgramWithIL(cl_context context, const void *il, size_t length, cl_int *error_ret)
{
    cl_program native = real->clCreateProgramWithIL(context, il, length, error_ret);
    program_open(native);
    return native;
}

cl_program layer_clLinkProgram(cl_context context, cl_uint count, const cl_device_id *devices, const char *options,
                               cl_uint inputs, const cl_program *programs,
                               void(CL_CALLBACK *notify)(cl_program, void *), void *data, cl_int *error_ret)
{
    coproc_drain(engine);
    cl_program native =
        real->clLinkProgram(context, count, devices, options, inputs, programs, notify, data, error_ret);
    program_open(native);
    return native;
}

/* Clones of kernels that are gone must not keep the program from being built again: all commands
 * end first. */
cl_int layer_clBuildProgram(cl_program native, cl_uint count, const cl_device_id *devices, const char *options,
                            void(CL_CALLBACK *notify)(cl_program, void *), void *data)
{
    struct program *program = program_find(native);
    coproc_drain(engine);
    if (program)
        options_judge(program, options);
    return real->clBuildProgram(native, count, devices, options, notify, data);
}

cl_int layer_clCompileProgram(cl_program native, cl_uint count, const cl_device_id *devices, const char *options,
                              cl_uint headers, const cl_program *programs, const char **names,
                              void(CL_CALLBACK *notify)(cl_program, void *), void *data)
{
    struct program *program = program_find(native);
    coproc_drain(engine);
    if (program)
        options_judge(program, options);
    return real->clCompileProgram(native, count, devices, options, headers, programs, names, notify, data);
}

cl_int layer_clRetainProgram(cl_program native)
{
    struct program *program = program_find(native);
    cl_int error = real->clRetainProgram(native);
    if (program && error == CL_SUCCESS)
        atomic_fetch_add(&program->entry.refs, 1);
    return error;
}

/* Kernels hold their program in the driver, so this needs no delay. */
cl_int layer_clReleaseProgram(cl_program native)
{
    struct program *program = program_find(native);
    if (program && atomic_fetch_sub(&program->entry.refs, 1) == 1) {
        handle_remove(&program->entry);
        program_unuse(program);
    }
    return real->clReleaseProgram(native);
}

/* Clones hold the program too, which does not show. */
cl_int layer_clGetProgramInfo(cl_program native, cl_program_info name, size_t room, void *value, size_t *size_ret)
{
    struct program *program = program_find(native);
    cl_int error = real->clGetProgramInfo(native, name, room, value, size_ret);
    if (program && error == CL_SUCCESS && name == CL_PROGRAM_REFERENCE_COUNT && value)
        *(cl_uint *)value -= program->clones;
    return error;
}

static void sampler_bury(void *sampler)
{
    real->clReleaseSampler(sampler);
}

cl_int layer_clRetainSampler(cl_sampler sampler)
{
    return real->clRetainSampler(sampler);
}

cl_int layer_clReleaseSampler(cl_sampler sampler)
{
    cl_uint references;
    cl_int error = real->clGetSamplerInfo(sampler, CL_SAMPLER_REFERENCE_COUNT, sizeof references, &references, NULL);
    if (error != CL_SUCCESS || references > 1)
        return real->clReleaseSampler(sampler);
    coproc_bury(engine, sampler_bury, sampler);
    return CL_SUCCESS;
}
