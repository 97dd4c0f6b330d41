/*
 * Carrying out the program's calls: from the crossing to the handlers, at home and on peers.
 * Not for the handlers themselves: they live in files by topic.
 */
#ifndef MONITOR_CALLS_H
#define MONITOR_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/thread.h"

/* From the crossing: carries out the call in `registers`, puts the result in place. */
void call_slow(struct registers *registers);
/* From the exit path: something is pending. */
void call_pending(struct registers *registers);
/* Signals that wait are delivered onto `registers`; true when a handler runs. Other work that is pending is left. */
bool call_pending_context(struct thread *thread, struct registers *registers);

/*
 * At home: carries out call `number` for `thread` whether its active half is here (`registers`) or on a peer (NULL;
 * calls of place CALL_THREAD do not come here then). The result, a negative errno, or RESULT_RESTART_*.
 */
long call_handle(struct thread *thread, uint64_t number, const uint64_t arguments[6], struct registers *registers);

/* What a call's result means: an EINTR that no signal of the program's caused has the call made again. */
long call_cut(const struct thread *thread, uint64_t number, long result);

/* What the entry does with the calls of a thread that runs at home: its class table and its quick path. */
void call_set_home(struct thread *thread);
/* The class table of a peer. */
const uint8_t *call_classes_peer(void);

/* Where the program makes the call again whose return address is given, and whether as a 32-bit call. */
uint64_t call_restart_address(uint64_t return_address, bool *by_int_80);

/* Calls seen by the monitor on this node, for statistics. */
void call_counters(uint64_t *local, uint64_t *forwarded, uint64_t latency[WIRE_LATENCY_BUCKETS]);
/* monitor/active_quick.c has these. */
void call_count_forwarded(uint64_t nanoseconds);
uint64_t call_forwarded(uint64_t latency[WIRE_LATENCY_BUCKETS]);

#endif
