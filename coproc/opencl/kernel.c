/*
 * Kernels: their arguments as snapshots, and clones for launches. Not for launching (launch.c).
 */
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

struct kernel *kernel_find(cl_kernel native)
{
    return handle_find(native, HANDLE_KERNEL);
}

/* ---- snapshots
 * ----------------------------------------------------------------------------------- */

static struct snapshot *snapshot_new(unsigned count, size_t capacity)
{
    struct snapshot *snapshot = layer_memory(sizeof *snapshot + count * sizeof(struct argument) + capacity);
    snapshot->refs = 1;
    snapshot->count = count;
    snapshot->capacity = capacity;
    snapshot->arguments = (struct argument *)(void *)(snapshot + 1);
    snapshot->values = (unsigned char *)(snapshot->arguments + count);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub(&snapshot->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < snapshot->count; i++)
        if (snapshot->arguments[i].memory)
            memory_unuse(snapshot->arguments[i].memory);
    free(snapshot);
}

/* A copy that nobody else has, with room for `more` bytes of values; values that are set anew are
 * packed. */
static struct snapshot *snapshot_own(struct snapshot *old, unsigned replaced, size_t more)
{
    size_t needed = more;
    for (unsigned i = 0; i < old->count; i++)
        needed += i != replaced ? (old->arguments[i].size + 7) / 8 * 8 : 0;
    struct snapshot *copy = snapshot_new(old->count, needed + needed / 2 + 64);
    for (unsigned i = 0; i < old->count; i++) {
        if (i == replaced)
            continue;
        struct argument *argument = &copy->arguments[i];
        *argument = old->arguments[i];
        if (argument->memory)
            memory_use(argument->memory);
        argument->at = copy->used;
        if (argument->set && !argument->null)
            memcpy(copy->values + copy->used, old->values + old->arguments[i].at, argument->size);
        copy->used += argument->null ? 0 : (argument->size + 7) / 8 * 8;
    }
    snapshot_unref(old);
    return copy;
}

static void argument_set(struct kernel *kernel, unsigned index, size_t size, const void *value)
{
    struct snapshot *snapshot = kernel->current;
    struct argument *argument = &snapshot->arguments[index];
    struct memory *memory = NULL;
    if (value && size == sizeof(cl_mem) && kernel->access[index]) {
        cl_mem native;
        memcpy(&native, value, sizeof native);
        memory = memory_find(native);
    }
    size_t room = value ? (size + 7) / 8 * 8 : 0;
    bool same_place = argument->set && !argument->null && value && argument->size == size;
    if (snapshot->refs > 1 || (!same_place && snapshot->used + room > snapshot->capacity)) {
        /* The same value again, as many programs set it before each launch: nothing changes. */
        if (same_place && argument->memory == memory && !memcmp(snapshot->values + argument->at, value, size))
            return;
        snapshot = kernel->current = snapshot_own(snapshot, index, room);
        argument = &snapshot->arguments[index];
        same_place = false;
    }
    if (argument->memory)
        memory_unuse(argument->memory);
    if (memory)
        memory_use(memory);
    if (!same_place) {
        argument->at = snapshot->used;
        snapshot->used += room;
    }
    argument->size = size;
    argument->set = true;
    argument->null = !value;
    argument->memory = memory;
    if (value)
        memcpy(snapshot->values + argument->at, value, size);
}

/* ---- clones: only the executor of their station touches them
 * --------------------------------------- */

static bool argument_same(const struct snapshot *a, const struct snapshot *b, unsigned i)
{
    const struct argument *one = &a->arguments[i], *other = &b->arguments[i];
    return one->set == other->set && one->size == other->size && one->null == other->null &&
           one->memory == other->memory &&
           (one->null || !memcmp(a->values + one->at, b->values + other->at, one->size));
}

cl_kernel kernel_clone(struct kernel *kernel, struct station *station, struct snapshot *snapshot, cl_int *error)
{
    struct clone *clone = &kernel->clones[station->number];
    if (!clone->native) {
        clone->native = real->clCreateKernel(kernel->native_program, kernel->name, error);
        if (!clone->native)
            return NULL;
        if (kernel->program)
            atomic_fetch_add(&kernel->program->clones, 1);
    }
    for (unsigned i = 0; clone->last != snapshot && i < snapshot->count; i++) {
        const struct argument *argument = &snapshot->arguments[i];
        if (!argument->set || (clone->last && argument_same(clone->last, snapshot, i)))
            continue;
        *error = real->clSetKernelArg(clone->native, i, argument->size,
                                      argument->null ? NULL : snapshot->values + argument->at);
        if (*error != CL_SUCCESS) {
            snapshot_unref(clone->last);
            clone->last = NULL;
            return NULL;
        }
    }
    if (clone->last != snapshot) {
        snapshot_unref(clone->last);
        atomic_fetch_add(&snapshot->refs, 1);
        clone->last = snapshot;
    }
    return clone->native;
}

void kernel_unuse(struct kernel *kernel)
{
    if (atomic_fetch_sub(&kernel->uses, 1) != 1)
        return;
    for (unsigned i = 0; i < STATIONS_MAX; i++) {
        if (kernel->clones[i].native) {
            real->clReleaseKernel(kernel->clones[i].native);
            if (kernel->program)
                atomic_fetch_sub(&kernel->program->clones, 1);
        }
        snapshot_unref(kernel->clones[i].last);
    }
    snapshot_unref(kernel->current);
    program_unuse(kernel->program);
    free(kernel->access);
    free(kernel);
}

/* ---- life
 * ---------------------------------------------------------------------------------------------- */

/*
 * Pointers and images read and write unless the language says otherwise: __constant cannot be
 * written, nor can a read_only image. `const` proves nothing: a cast takes it away.
 */
static unsigned char argument_access(cl_kernel native, cl_uint index)
{
    cl_kernel_arg_address_qualifier address;
    cl_kernel_arg_access_qualifier access;
    if (real->clGetKernelArgInfo(native, index, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof address, &address, NULL) !=
            CL_SUCCESS ||
        real->clGetKernelArgInfo(native, index, CL_KERNEL_ARG_ACCESS_QUALIFIER, sizeof access, &access, NULL) !=
            CL_SUCCESS)
        return COPROC_READ | COPROC_WRITE;
    if (address == CL_KERNEL_ARG_ADDRESS_CONSTANT || access == CL_KERNEL_ARG_ACCESS_READ_ONLY)
        return COPROC_READ;
    return COPROC_READ | COPROC_WRITE;
}

static struct kernel *kernel_open(cl_kernel native)
{
    if (!native)
        return NULL;
    struct kernel *kernel = layer_memory(sizeof *kernel);
    size_t length = 0;
    real->clGetKernelInfo(native, CL_KERNEL_FUNCTION_NAME, 0, NULL, &length);
    char *name = layer_memory(length + 1);
    real->clGetKernelInfo(native, CL_KERNEL_FUNCTION_NAME, length, name, NULL);
    kernel->name = name_intern(name);
    free(name);
    real->clGetKernelInfo(native, CL_KERNEL_NUM_ARGS, sizeof kernel->count, &kernel->count, NULL);
    real->clGetKernelInfo(native, CL_KERNEL_CONTEXT, sizeof kernel->context, &kernel->context, NULL);
    real->clGetKernelInfo(native, CL_KERNEL_PROGRAM, sizeof kernel->native_program, &kernel->native_program, NULL);
    kernel->native = native;
    kernel->uses = 1;
    kernel->program = program_find(kernel->native_program);
    if (kernel->program)
        atomic_fetch_add(&kernel->program->uses, 1);
    program_judge(kernel->program, &kernel->prints, &kernel->unknown);
    kernel->access = layer_memory(kernel->count + 1);
    for (unsigned i = 0; i < kernel->count; i++)
        kernel->access[i] = argument_access(native, i);
    kernel->current = snapshot_new(kernel->count, 16 * kernel->count + 64);
    handle_add(&kernel->entry, native, HANDLE_KERNEL);
    return kernel;
}

cl_kernel layer_clCreateKernel(cl_program program, const char *name, cl_int *error_ret)
{
    cl_kernel native = real->clCreateKernel(program, name, error_ret);
    kernel_open(native);
    return native;
}

cl_int layer_clCreateKernelsInProgram(cl_program program, cl_uint count, cl_kernel *kernels, cl_uint *count_ret)
{
    cl_uint made = 0;
    cl_int error = real->clCreateKernelsInProgram(program, count, kernels, &made);
    if (error == CL_SUCCESS && kernels)
        for (cl_uint i = 0; i < made && i < count; i++)
            kernel_open(kernels[i]);
    if (count_ret)
        *count_ret = made;
    return error;
}

cl_kernel layer_clCloneKernel(cl_kernel source, cl_int *error_ret)
{
    struct kernel *original = kernel_find(source);
    struct kernel *kernel = kernel_open(real->clCloneKernel(source, error_ret));
    if (!kernel)
        return NULL;
    kernel->foreign = !original || original->foreign;
    if (original) {
        snapshot_unref(kernel->current);
        atomic_fetch_add(&original->current->refs, 1);
        kernel->current = original->current;
    }
    return kernel->native;
}

static void kernel_bury(void *kernel)
{
    kernel_unuse(kernel);
}

cl_int layer_clRetainKernel(cl_kernel native)
{
    struct kernel *kernel = kernel_find(native);
    cl_int error = real->clRetainKernel(native);
    if (kernel && error == CL_SUCCESS)
        atomic_fetch_add(&kernel->entry.refs, 1);
    return error;
}

/* Launches use clones, so the application's own kernel may go at once; foreign ones are the
 * driver's to keep. */
cl_int layer_clReleaseKernel(cl_kernel native)
{
    struct kernel *kernel = kernel_find(native);
    if (kernel && atomic_fetch_sub(&kernel->entry.refs, 1) == 1) {
        handle_remove(&kernel->entry);
        coproc_bury(engine, kernel_bury, kernel);
    }
    return real->clReleaseKernel(native);
}

/* ---- arguments
 * --------------------------------------------------------------------------------------- */

cl_int layer_clSetKernelArg(cl_kernel native, cl_uint index, size_t size, const void *value)
{
    cl_int error = real->clSetKernelArg(native, index, size, value);
    struct kernel *kernel = kernel_find(native);
    if (error == CL_SUCCESS && kernel && index < kernel->count)
        argument_set(kernel, index, size, value);
    return error;
}

/* Pointers that no argument shows: from now on launches are the driver's alone, behind and before
 * everything else. */
cl_int layer_clSetKernelArgSVMPointer(cl_kernel native, cl_uint index, const void *value)
{
    struct kernel *kernel = kernel_find(native);
    if (kernel)
        kernel->foreign = true;
    return real->clSetKernelArgSVMPointer(native, index, value);
}

cl_int layer_clSetKernelExecInfo(cl_kernel native, cl_kernel_exec_info name, size_t size, const void *value)
{
    struct kernel *kernel = kernel_find(native);
    if (kernel)
        kernel->foreign = true;
    return real->clSetKernelExecInfo(native, name, size, value);
}
