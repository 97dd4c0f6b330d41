/*
 * Procinfo: what ps, gdb and /proc show of the process, made to name the program.
 * Not for what the program itself reads in /proc: the monitor answers that.
 */
#ifndef LD_SPAN_PROCINFO_H
#define LD_SPAN_PROCINFO_H

#include "ld-span/image.h"
#include "ld-span/stack.h"

/*
 * Publishes ranges, arguments, environment and auxv with prctl(PR_SET_MM, PR_SET_MM_MAP), and the
 * name of the thread. A kernel that refuses costs only what others see: 0 or the negative errno.
 */
int procinfo_publish(const struct image *program, const struct stack *stack, const char *name);

#endif
