/*
 * The layer's entry: what ocl-icd calls when it loads us (OPENCL_LAYERS), the modes, and the ends:
 * exit and fork. Not for OpenCL calls but those that look up functions.
 *
 *   SPAN_COPROC        off, strict, asif (without it) or trace
 *   SPAN_COPROC_TRACE  where trace writes: PREFIX.json and PREFIX.dot (without it span-coproc-PID)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coproc/opencl/layer.h"

const cl_icd_dispatch *real;
struct coproc_engine *engine;
static cl_icd_dispatch driver; /* a copy: ours may be longer than the loader's */

#define SPIN_US 100

CL_API_ENTRY __attribute__((visibility("default"))) cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t room,
                                                                                      void *value, size_t *size_ret)
{
    static const char title[] = "ld-span coprocessor streams";
    cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (name == CL_LAYER_API_VERSION)
        return info_return(&version, sizeof version, room, value, size_ret);
    if (name == CL_LAYER_NAME)
        return info_return(title, sizeof title, room, value, size_ret);
    return CL_INVALID_VALUE;
}

static void gate_retired(struct coproc_command *command, int status)
{
    submit_driver.retired(command, status);
}

static const struct coproc_driver gates = {.retired = gate_retired};

static void end(void)
{
    coproc_drain(engine);
    coproc_engine_trace_write(engine);
}

static void fork_prepare(void)
{
    coproc_drain(engine);
}

static void fork_child(void)
{
    coproc_engine_forked(engine);
}

static bool settings_read(struct coproc_settings *settings)
{
    static char prefix[64];
    const char *mode = getenv("SPAN_COPROC"), *trace = getenv("SPAN_COPROC_TRACE");
    *settings = (struct coproc_settings){.mode = COPROC_ASIF, .spin_us = SPIN_US, .gates = &gates};
    if (!mode || !strcmp(mode, "asif"))
        return true;
    if (!strcmp(mode, "strict")) {
        settings->mode = COPROC_STRICT;
        return true;
    }
    if (!strcmp(mode, "trace")) {
        snprintf(prefix, sizeof prefix, "span-coproc-%d", (int)getpid());
        settings->trace_prefix = trace ? strdup(trace) : prefix;
        return true;
    }
    if (strcmp(mode, "off") != 0)
        fprintf(stderr,
                "ld-span: SPAN_COPROC=%.20s: not a mode, so coprocessor streams are off (give off, "
                "strict, asif or trace)\n",
                mode);
    return false;
}

CL_API_ENTRY __attribute__((visibility("default"))) cl_int CL_API_CALL clInitLayer(cl_uint count,
                                                                                   const cl_icd_dispatch *target,
                                                                                   cl_uint *count_ret,
                                                                                   const cl_icd_dispatch **layer_ret)
{
    struct coproc_settings settings;
    if (!target || !count_ret || !layer_ret || !count)
        return CL_INVALID_VALUE;
    size_t bytes = (size_t)count * sizeof(void *);
    memcpy(&driver, target, bytes < sizeof driver ? bytes : sizeof driver);
    real = &driver;
    layer_table = driver;
    *layer_ret = &layer_table;
    *count_ret = ENTRY_COUNT;
    if (engine || !settings_read(&settings))
        return CL_SUCCESS;
    engine = coproc_engine_new(&settings);
    if (!engine)
        return CL_OUT_OF_HOST_MEMORY;
    table_fill();
    atexit(end);
    pthread_atfork(fork_prepare, NULL, fork_child);
    return CL_SUCCESS;
}

/*
 * Functions that are in no dispatch table. Ours come from ours; what takes events of ours cannot go
 * to the driver, so it is as if the driver did not have it; before anything else all commands end.
 */
static void *extension_wrap(const char *name, void *target)
{
    if (!target || !name)
        return target;
    void *ours = table_find(name);
    if (ours)
        return ours;
    if (!strncmp(name, "clEnqueue", 9) || !strncmp(name, "clCommand", 9) || strstr(name, "Event"))
        return NULL;
    return table_stub(target);
}

void *layer_clGetExtensionFunctionAddress(const char *name)
{
    return extension_wrap(name, real->clGetExtensionFunctionAddress(name));
}

void *layer_clGetExtensionFunctionAddressForPlatform(cl_platform_id platform, const char *name)
{
    return extension_wrap(name, real->clGetExtensionFunctionAddressForPlatform(platform, name));
}
