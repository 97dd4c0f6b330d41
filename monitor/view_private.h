/* Between view.c, view_files.c and view_affinity.c. */
#ifndef MONITOR_VIEW_PRIVATE_H
#define MONITOR_VIEW_PRIVATE_H

#include <stdio.h>

#include "monitor/view.h"

#define VIEW_PROCESSORS_MAX 4096

struct view {
    unsigned node_count, total;
    unsigned first[NODES_MAX + 1]; /* of each node; the last one is `total` */
    unsigned own_count;            /* processors of the machine that are online */
};

extern struct view view;

/* Which node has the processor. */
unsigned view_node_of(unsigned processor);
/* True when the program may not see the machine as it is. */
bool view_differs(void);
pid_t view_pid(void);
/* True when `id` is this process or one of its threads. */
bool view_is_own(pid_t id);

/* A file that is made: writes its contents from those of the machine's own file. */
struct view_file {
    const char *path;
    const char *name; /* for the descriptor's link */
    void (*write)(FILE *out, const char *own);
};
/* The same for a file that stands below /proc/PID, by its name there. */
const struct view_file *view_process_file(const char *name);
/* What follows /proc/PID/ or /proc/PID/task/TID/ of this process in `path`, which is normalised; NULL: another's. */
const char *view_own_rest(const char *path);
/* NULL: not one of ours. */
const struct view_file *view_file_find(const char *path);

#endif
