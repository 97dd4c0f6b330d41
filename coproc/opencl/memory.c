/*
 * Memory objects, normalised to a root and an interval: sub-buffers and images over buffers to
 * those of their buffer, all objects over host memory (CL_MEM_USE_HOST_PTR) to the host's
 * addresses, where they may overlap. Not for commands on them.
 */
#include <stdlib.h>
#include <string.h>

#include "coproc/opencl/layer.h"

static struct root *root_new(uint64_t size)
{
    struct root *root = layer_memory(sizeof *root);
    root->map = coproc_memory_new(engine, size);
    if (!root->map)
        abort();
    root->refs = 1;
    return root;
}

static void root_unref(struct root *root)
{
    if (atomic_fetch_sub(&root->refs, 1) != 1)
        return;
    coproc_memory_free(root->map);
    free(root);
}

static struct root *root_host(void)
{
    static struct root *host;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!host)
        host = root_new(UINT64_MAX);
    host->refs++;
    pthread_mutex_unlock(&lock);
    return host;
}

struct memory *memory_find(cl_mem native)
{
    return handle_find(native, HANDLE_MEMORY);
}

void memory_use(struct memory *memory)
{
    atomic_fetch_add(&memory->uses, 1);
}

void memory_unuse(struct memory *memory)
{
    if (atomic_fetch_sub(&memory->uses, 1) != 1)
        return;
    root_unref(memory->root);
    free(memory);
}

unsigned memory_flags(const struct memory *memory)
{
    return (memory->visible ? COPROC_HOST_VISIBLE : 0u) | (memory->unknown ? COPROC_UNKNOWN | COPROC_HOST_VISIBLE : 0u);
}

void memory_access(struct coproc_command *command, const struct memory *memory, uint64_t offset, uint64_t size,
                   unsigned access)
{
    coproc_command_access(command, memory->root->map, memory->offset + offset, size, access);
}

/* What the driver says about a new object. `parent`: of a sub-buffer, or the buffer under an image.
 */
static void memory_open(cl_mem native, const void *host)
{
    if (!native)
        return;
    struct memory *memory = layer_memory(sizeof *memory);
    cl_mem under = NULL;
    size_t size = 0, offset = 0;
    memory->native = native;
    memory->uses = 1;
    real->clGetMemObjectInfo(native, CL_MEM_TYPE, sizeof memory->type, &memory->type, NULL);
    real->clGetMemObjectInfo(native, CL_MEM_FLAGS, sizeof memory->flags, &memory->flags, NULL);
    real->clGetMemObjectInfo(native, CL_MEM_CONTEXT, sizeof memory->context, &memory->context, NULL);
    real->clGetMemObjectInfo(native, CL_MEM_SIZE, sizeof size, &size, NULL);
    real->clGetMemObjectInfo(native, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof under, &under, NULL);
    memory->size = size;
    memory->unknown = memory->type == CL_MEM_OBJECT_PIPE;
    const struct memory *parent = memory_find(under);
    if (under && !parent)
        memory->unknown = true;
    if (parent) {
        memory->root = parent->root;
        atomic_fetch_add(&memory->root->refs, 1);
        memory->visible = parent->visible;
        memory->unknown |= parent->unknown;
        memory->part = memory->type == CL_MEM_OBJECT_BUFFER;
        if (memory->part) {
            real->clGetMemObjectInfo(native, CL_MEM_OFFSET, sizeof offset, &offset, NULL);
            memory->offset = parent->offset + offset;
        } else {
            /* Rows of an image may be farther apart than its size says. */
            memory->offset = parent->offset;
            memory->size = parent->size;
        }
    } else if (memory->flags & CL_MEM_USE_HOST_PTR) {
        memory->root = root_host();
        memory->visible = true;
        memory->offset = memory->type == CL_MEM_OBJECT_BUFFER ? (uintptr_t)host : 0;
        memory->size = memory->type == CL_MEM_OBJECT_BUFFER ? size : UINT64_MAX;
    } else {
        memory->root = root_new(size ? size : 1);
    }
    handle_add(&memory->entry, native, HANDLE_MEMORY);
}

/* Another API may write to it at any time between acquire and release. */
static cl_mem memory_open_foreign(cl_mem native)
{
    memory_open(native, NULL);
    struct memory *memory = memory_find(native);
    if (memory)
        memory->unknown = true;
    return native;
}

static void memory_bury(void *object)
{
    struct memory *memory = object;
    real->clReleaseMemObject(memory->native);
    memory_unuse(memory);
}

cl_int layer_clRetainMemObject(cl_mem native)
{
    struct memory *memory = memory_find(native);
    cl_int error = real->clRetainMemObject(native);
    if (memory && error == CL_SUCCESS)
        atomic_fetch_add(&memory->entry.refs, 1);
    return error;
}

cl_int layer_clReleaseMemObject(cl_mem native)
{
    struct memory *memory = memory_find(native);
    if (!memory || atomic_fetch_sub(&memory->entry.refs, 1) > 1)
        return real->clReleaseMemObject(native);
    handle_remove(&memory->entry);
    /* The application gets its host memory back with this. */
    if (memory->visible)
        coproc_drain(engine);
    coproc_bury(engine, memory_bury, memory);
    return CL_SUCCESS;
}

/* ---- creation
 * --------------------------------------------------------------------------------------- */

cl_mem layer_clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *error_ret)
{
    cl_mem native = real->clCreateBuffer(context, flags, size, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreateBufferWithProperties(cl_context context, const cl_mem_properties *properties, cl_mem_flags flags,
                                          size_t size, void *host, cl_int *error_ret)
{
    cl_mem native = real->clCreateBufferWithProperties(context, properties, flags, size, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void *info,
                               cl_int *error_ret)
{
    cl_mem native = real->clCreateSubBuffer(buffer, flags, type, info, error_ret);
    memory_open(native, NULL);
    return native;
}

cl_mem layer_clCreateImage(cl_context context, cl_mem_flags flags, const cl_image_format *format,
                           const cl_image_desc *desc, void *host, cl_int *error_ret)
{
    cl_mem native = real->clCreateImage(context, flags, format, desc, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreateImageWithProperties(cl_context context, const cl_mem_properties *properties, cl_mem_flags flags,
                                         const cl_image_format *format, const cl_image_desc *desc, void *host,
                                         cl_int *error_ret)
{
    cl_mem native = real->clCreateImageWithProperties(context, properties, flags, format, desc, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreateImage2D(cl_context context, cl_mem_flags flags, const cl_image_format *format, size_t width,
                             size_t height, size_t row_pitch, void *host, cl_int *error_ret)
{
    cl_mem native = real->clCreateImage2D(context, flags, format, width, height, row_pitch, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreateImage3D(cl_context context, cl_mem_flags flags, const cl_image_format *format, size_t width,
                             size_t height, size_t depth, size_t row_pitch, size_t slice_pitch, void *host,
                             cl_int *error_ret)
{
    cl_mem native =
        real->clCreateImage3D(context, flags, format, width, height, depth, row_pitch, slice_pitch, host, error_ret);
    memory_open(native, host);
    return native;
}

cl_mem layer_clCreatePipe(cl_context context, cl_mem_flags flags, cl_uint packet_size, cl_uint packets,
                          const cl_pipe_properties *properties, cl_int *error_ret)
{
    cl_mem native = real->clCreatePipe(context, flags, packet_size, packets, properties, error_ret);
    memory_open(native, NULL);
    return native;
}

cl_mem layer_clCreateFromGLBuffer(cl_context context, cl_mem_flags flags, cl_GLuint object, int *error_ret)
{
    return memory_open_foreign(real->clCreateFromGLBuffer(context, flags, object, error_ret));
}

cl_mem layer_clCreateFromGLTexture(cl_context context, cl_mem_flags flags, cl_GLenum target, cl_GLint level,
                                   cl_GLuint texture, cl_int *error_ret)
{
    return memory_open_foreign(real->clCreateFromGLTexture(context, flags, target, level, texture, error_ret));
}

cl_mem layer_clCreateFromGLTexture2D(cl_context context, cl_mem_flags flags, cl_GLenum target, cl_GLint level,
                                     cl_GLuint texture, cl_int *error_ret)
{
    return memory_open_foreign(real->clCreateFromGLTexture2D(context, flags, target, level, texture, error_ret));
}

cl_mem layer_clCreateFromGLTexture3D(cl_context context, cl_mem_flags flags, cl_GLenum target, cl_GLint level,
                                     cl_GLuint texture, cl_int *error_ret)
{
    return memory_open_foreign(real->clCreateFromGLTexture3D(context, flags, target, level, texture, error_ret));
}

cl_mem layer_clCreateFromGLRenderbuffer(cl_context context, cl_mem_flags flags, cl_GLuint object, cl_int *error_ret)
{
    return memory_open_foreign(real->clCreateFromGLRenderbuffer(context, flags, object, error_ret));
}

cl_mem layer_clCreateFromEGLImageKHR(cl_context context, CLeglDisplayKHR display, CLeglImageKHR image,
                                     cl_mem_flags flags, const cl_egl_image_properties_khr *properties,
                                     cl_int *error_ret)
{
    return memory_open_foreign(real->clCreateFromEGLImageKHR(context, display, image, flags, properties, error_ret));
}
