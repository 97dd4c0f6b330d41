/* Idle time of this node's processors. */
#ifndef MONITOR_IDLE_H
#define MONITOR_IDLE_H

#include <stdint.h>

/* Once, when the calling thread is bound to the node's processors, and may still open files. */
void idle_initialise(void);
/* Of all the processors together, since some moment; 0: it cannot be told. One thread at a time. */
uint64_t idle_us(void);

#endif
