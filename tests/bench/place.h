/* Puts a thread on the node that a bench wants it on. Not for processes of the raw references, which pin themselves. */
#ifndef BENCH_PLACE_H
#define BENCH_PLACE_H

#include <sched.h>

#include "median.h"

/*
 * Binds the calling thread to the first processor of node `node` out of `nodes`, which have equally many of those that
 * the program sees, and returns when it runs there. Natively these are just processors, of which several may be the
 * same.
 */
static inline void node_enter(unsigned node, unsigned nodes)
{
    cpu_set_t allowed, one;
    check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    unsigned rank = node * (unsigned)CPU_COUNT(&allowed) / nodes;
    int cpu = 0;
    while (!CPU_ISSET(cpu, &allowed) || rank-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    check(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
    while (sched_getcpu() != cpu)
        sleep_us(100);
}

#endif
