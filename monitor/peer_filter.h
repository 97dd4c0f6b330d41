/*
 * The kernel's own limit on what a peer's runtime process can do: the system calls it may make.
 * Not for which calls a program may make, which are carried out at home (syscall/table.h).
 */
#ifndef MONITOR_PEER_FILTER_H
#define MONITOR_PEER_FILTER_H

/*
 * Installs the filter for all threads of the process, for good. Called by peer_run when everything
 * that needs a file or a new socket has been opened. 0 or negative errno.
 */
int peer_filter_install(void);

#endif
