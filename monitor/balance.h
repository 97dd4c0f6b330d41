/*
 * Balance: notices threads that only hand pages to and fro, and brings them home.
 * Not for where a new thread starts (monitor/session.h).
 *
 * Threads that share pages finely (an interpreter's lock, a heap that all of them change) can be a hundred times slower
 * over nodes than on one. A node whose threads hardly compute while many pages are asked for and recalled is such a
 * case.
 */
#ifndef MONITOR_BALANCE_H
#define MONITOR_BALANCE_H

/* Home, once the peers are in use: a thread that looks a few times a second. */
void balance_start(void);

#endif
