/*
 * Statistics of a session: as a table for people, as JSON for programs.
 * Not for collecting them: every node fills a struct wire_statistics, monitor/session_end.c has them
 * all.
 */
#ifndef MONITOR_STATISTICS_H
#define MONITOR_STATISTICS_H

#include <stdint.h>
#include <sys/types.h>

#include "runtime/wire.h"

struct json_t;

struct statistics_session {
    const char *program;
    pid_t pid;
    unsigned node_count;
    const char *const *names;            /* of nodes, home first */
    const struct wire_statistics *nodes; /* node_count of them */
    double wall_seconds;
};

/* The table, or JSON on one line, in memory from malloc; NULL: no memory. Monitor domain. */
char *statistics_text(const struct statistics_session *session);
char *statistics_json(const struct statistics_session *session);

/*
 * Reads one node of what statistics_json wrote, for spanctl: 0, or -EPROTO when `node` is no such
 * object. What is missing counts as 0, so that programs of different ages understand each other.
 * struct json_t is jansson's.
 */
int statistics_read_node(const struct json_t *node, struct wire_statistics *out);

/* Writes the table to stderr. */
void statistics_print(const struct statistics_session *session);
/* Writes the JSON to `path`, replacing it as a whole. 0, or a negative errno and a line on stderr.
 */
int statistics_write_json(const struct statistics_session *session, const char *path);

/* The same for a session that ended before its time: who it was, and why. */
int statistics_write_error(const char *program, pid_t pid, const char *error, const char *path);

/*
 * The latency in nanoseconds that `percent` of a histogram's measurements do not exceed,
 * interpolated within its bucket; 0 when there are none.
 */
uint64_t statistics_percentile(const uint64_t buckets[WIRE_LATENCY_BUCKETS], unsigned percent);

#endif
