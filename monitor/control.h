/*
 * The control socket of a session at home: one thread that answers spanctl.
 * Not for what the answers say: the session provides them by callbacks.
 *
 * The socket is ${XDG_RUNTIME_DIR:-/tmp}/ld-span-UID/PID, for the user and root only. A request is
 * a line, the answer one JSON object on a line, {"error": "..."} when it failed; a connection may
 * ask several times. docs/man/spanctl.1 lists them.
 */
#ifndef MONITOR_CONTROL_H
#define MONITOR_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CONTROL_PATH_BYTES 108 /* sun_path */

/* All run in the control thread, and may take locks but must not end. Those that return text return
 * malloc'd JSON. */
struct control_operations {
    char *(*status)(void); /* an object with the session's nodes and threads */
    char *(*statistics)(void);
    char *(*threads)(void); /* the session's threads with their registers */
    /* Asks a thread to move: 0, -ESRCH no such thread, -EINVAL no such node, or another negative
     * errno. */
    int (*migrate)(pid_t tid, unsigned node);
};

/*
 * Starts the thread, whose descriptors are moved by `fd_move` (fdguard_move; NULL: as they come).
 * 0, or a negative errno; the session goes on without.
 */
int control_start(const struct control_operations *operations, int (*fd_move)(int fd));
/* Removes the socket. Any thread; nothing when there is none. */
void control_stop(void);
/* The same, and the thread has ended when this returns; false: there was none. */
bool control_end(void);
/* In the child of a fork: the socket is the parent's. */
void control_forget(void);

/* For spanctl too: the directory, and the socket of `pid` in it; negative errno when it does not
 * fit. */
int control_directory(char path[CONTROL_PATH_BYTES]);
int control_path(pid_t pid, char path[CONTROL_PATH_BYTES]);

#endif
