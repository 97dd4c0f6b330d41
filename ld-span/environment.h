/*
 * Environment: the options that the rtld and the OpenCL loader understand, put where they look for
 * them.
 * Not for SPAN_* variables (options_file.c).
 */
#ifndef LD_SPAN_ENVIRONMENT_H
#define LD_SPAN_ENVIRONMENT_H

#include "ld-span/options.h"

/* `envp` with LD_LIBRARY_PATH, LD_PRELOAD, LD_AUDIT, OPENCL_LAYERS and SPAN_COPROC as the options
 * say, or `envp` itself; NULL: no memory. */
char **environment_for_rtld(const struct span_options *options, char *envp[]);

/* The arguments with which glibc's rtld at `rtld`, run as a command, runs the program at `path`;
 * NULL: no memory. */
char **environment_rtld_arguments(const struct span_options *options, const char *rtld, const char *path, char *argv[],
                                  int argc);

#endif
