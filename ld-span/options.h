/*
 * Options: what the user asked for, from span.conf, SPAN_* variables and the command line, in
 * rising order. Not for acting on them: modes are carried out by ld-span_main.c, the rest by the
 * monitor.
 *
 * Every function runs in the monitor domain, before the program starts, unless its comment says
 * otherwise.
 */
#ifndef LD_SPAN_OPTIONS_H
#define LD_SPAN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/wire.h"

#define SPAN_VERSION "0.1.0"

#define SPAN_TIMEOUT_MS_DEFAULT 10000

enum span_mode {
    SPAN_RUN,
    SPAN_LIST,
    SPAN_VERIFY,
    SPAN_LIST_DIAGNOSTICS,
    SPAN_LIST_TUNABLES,
    SPAN_HELP,
    SPAN_SHOW_VERSION,
};

enum span_place {
    PLACE_SPREAD, /* new threads go round the nodes, least loaded first */
    PLACE_PACK,   /* fill a node before the next is used */
    PLACE_HOME,   /* all at home until told otherwise */
};

/* Strings live as long as the process; NULL: not given. */
struct span_options {
    enum span_mode mode;

    /* ld.so's */
    const char *library_path, *preload, *argv0, *inhibit_rpath, *audit;
    const char *hwcaps_prepend, *hwcaps_mask;
    bool inhibit_cache;

    const char
        *affinity, /* from a session's execve: the processors that the program is bound to, words in hexadecimal */
        *peers;    /* and the processes of its peers, which are this process's children */
    bool filtered; /* from a session's execve: seccomp filters of the program's before judge this one */
    const char *executed; /* from a session's execve: the file, exactly so; the arguments begin with argv[0] */

    /* ours */
    bool no_pin, no_patch, no_follow, no_balance, no_ahead, verbose, best_effort, insecure;
    bool stats;
    const char *stats_file;                /* absolute; NULL with `stats`: standard error */
    const char *trace;                     /* absolute */
    const char *key;                       /* absolute */
    unsigned local;                        /* nodes on this machine, home included: 1.. */
    const char *nodes;                     /* the list as given */
    unsigned node_count;                   /* elements of node_addresses */
    const char *node_addresses[NODES_MAX]; /* "host[:port]" or "[v6][:port]" */
    enum span_place place;
    enum wire_compress compress; /* of pages on their way to other machines */
    const char *coproc;          /* mode of coprocessor streams, one of the layer's; NULL: as "off" */
    unsigned timeout_ms;         /* for reaching the peers */

    uint64_t given; /* which of our options were given by any source, for options_serialize; rows of
                       the option table */
};

/* All nodes of the session, home included. */
static inline unsigned options_total_nodes(const struct span_options *options)
{
    return options->local + options->node_count;
}

/*
 * Reads all sources. `argv` is parsed from 1 on when `command_line` (it ends at the first
 * non-option), else not at all. Returns the index of the program in argv (argc: none), or a
 * negative errno and one line for the user in `why`.
 */
int options_parse(struct span_options *options, int argc, char *argv[], char *envp[], bool command_line,
                  char why[WIRE_MESSAGE_BYTES]);

/* Options of a command line alone, on top of what `options` has; returns as options_parse. */
int options_parse_more(struct span_options *options, int argc, char *argv[], char why[WIRE_MESSAGE_BYTES]);

/*
 * Our options back as argument strings, for running a child under ld-span the same way: those that
 * any source gave, so that neither a changed environment nor span.conf overrides them. Strings go
 * to `out`, pointers to `argv`, no terminator. Returns the number of arguments, or SIZE_MAX when
 * `capacity` bytes or `slots` do not suffice. Any domain, any thread: neither allocates nor locks.
 */
size_t options_serialize(const struct span_options *options, char *out, size_t capacity, char *argv[], size_t slots);

/* For --help, on standard output. */
void options_help(const char *self);

#endif
