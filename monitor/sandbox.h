/*
 * seccomp filters of the program's own. The kernel gets each with a few instructions in front, which let the monitor's
 * own calls pass: the program's are made at two places of our text. What the monitor carries out itself is judged here,
 * by the same filters. Not for our own filter on peers (monitor/peer_filter.h).
 */
#ifndef MONITOR_SANDBOX_H
#define MONITOR_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "monitor/thread.h"

/* seccomp(2) and prctl(2) with PR_SET_SECCOMP: as the kernel, for the calling thread. At home, on its kernel thread. */
long sandbox_call(struct thread *thread, uint64_t number, const uint64_t a[6]);
bool sandbox_is(uint64_t number, const uint64_t a[6]);
/* False: a filter of the thread's does not simply allow the call. Then it is the kernel's to answer. */
bool sandbox_allows(const struct thread *thread, uint64_t number, const uint64_t a[6], uint64_t instruction);
/* Do filters of the program's judge the thread: its own, or of a program that executed this one? Any thread. */
bool sandbox_judges(const struct thread *thread);
/* The data of a trap that stands for the death that SECCOMP_MODE_STRICT means. */
bool sandbox_is_strict(int data);

#endif
