/* Between clock.c, which sets it up, clock_quick.c, which answers, and clock_entry.S, which gets
 * there and back. */
#ifndef MONITOR_CLOCK_PRIVATE_H
#define MONITOR_CLOCK_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_IDS      16
#define PROCESSORS_MAX 4096

struct clock_state {
    /* The kernel's vDSO of this process, NULL where there is none. */
    int (*clock_gettime)(int clock, struct timespec *time);
    int (*getcpu)(unsigned *processor, unsigned *numa_node, void *unused);
    int64_t offset_ns[CLOCK_IDS];
    uint32_t quick; /* bit mask of clocks that the kernel's vDSO can tell and all nodes have in common */
    bool processors_known;
    uint16_t processors[PROCESSORS_MAX]; /* the kernel's number to the session's */
};

extern struct clock_state clock_state;

/* What an answer is: in RAX and RDX. `call` is not 0 when the system call has to be made instead.
 */
struct clock_answer {
    long value;
    long call;
};

struct clock_answer clock_answer_gettime(long clock, struct timespec *program);
struct clock_answer clock_answer_timeofday(void *program, void *zone);
struct clock_answer clock_answer_time(long *program);
struct clock_answer clock_answer_getcpu(unsigned *processor, unsigned *numa_node);

/* In clock_entry.S, with the convention of struct clock_functions. */
void clock_entry_gettime(void);
void clock_entry_timeofday(void);
void clock_entry_time(void);
void clock_entry_getcpu(void);
void clock_entry_call(void);

#endif
