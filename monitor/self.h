/* The file that this code was loaded from: ld-span.so, as the command line or as PT_INTERP named it. */
#ifndef MONITOR_SELF_H
#define MONITOR_SELF_H

/* Learns it. Once, before the program runs. */
void self_record(void);
/* Opens it (O_PATH, close-on-exec); -ENOENT when it is no longer there. */
int self_open(void);

#endif
