/*
 * spand, the agent: its command line, its key and its address. docs/man/spand.8 is the manual.
 * Not for serving (monitor/agent.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ld-span/options.h"
#include "monitor/agent.h"
#include "monitor/fatal.h"
#include "runtime/channel.h"

#define SESSIONS_DEFAULT 64u

struct arguments {
    const char *listen, *key, *port_file, *keygen;
    unsigned sessions_max;
    bool insecure, verbose;
};

enum {
    OPTION_LISTEN = 1,
    OPTION_KEY,
    OPTION_INSECURE,
    OPTION_SESSIONS,
    OPTION_VERBOSE,
    OPTION_KEYGEN,
    OPTION_PORT_FILE,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option options[] = {
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"key", required_argument, NULL, OPTION_KEY},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"max-sessions", required_argument, NULL, OPTION_SESSIONS},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"keygen", required_argument, NULL, OPTION_KEYGEN},
    {"port-file", required_argument, NULL, OPTION_PORT_FILE},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {0},
};

static _Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void fail(const char *format, ...)
{
    char line[512];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    fprintf(stderr, "spand: %s\n", line);
    exit(SPAN_EXIT_FAILURE);
}

static _Noreturn void help_print(void)
{
    printf("Usage: spand [OPTION]...\n"
           "Lends this machine's processors and memory to programs run by ld-span.so elsewhere.\n"
           "\n"
           "  --listen ADDR[:PORT]   where to take connections (default 127.0.0.1:%d); port 0: a "
           "free one\n"
           "  --key FILE             take only connections with this pre-shared key, by TLS 1.3\n"
           "  --insecure             listen beyond this machine without a key\n"
           "  --max-sessions N       at most N sessions at a time, 1 to %d (default %u)\n"
           "  --port-file FILE       write the port to FILE when connections are taken\n"
           "  --keygen FILE          make a new key in FILE and end\n"
           "  --verbose              tell what is being done, on standard error\n"
           "  --help, --version      print this, or the version, and end\n",
           WIRE_PORT, AGENT_SESSIONS_MAX, SESSIONS_DEFAULT);
    exit(0);
}

static unsigned sessions_parse(const char *text)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < 1 || number > AGENT_SESSIONS_MAX)
        fail("bad value for --max-sessions: %s (give a number from 1 to %d)", text, AGENT_SESSIONS_MAX);
    return (unsigned)number;
}

static void arguments_parse(int argc, char **argv, struct arguments *arguments)
{
    *arguments = (struct arguments){.listen = "127.0.0.1", .sessions_max = SESSIONS_DEFAULT};
    opterr = 0;
    for (;;) {
        int index = optind;
        switch (getopt_long(argc, argv, "+:", options, NULL)) {
        case -1:
            if (optind < argc)
                fail("unexpected argument: %s (see spand --help)", argv[optind]);
            return;
        case OPTION_LISTEN:
            arguments->listen = optarg;
            break;
        case OPTION_KEY:
            arguments->key = optarg;
            break;
        case OPTION_INSECURE:
            arguments->insecure = true;
            break;
        case OPTION_SESSIONS:
            arguments->sessions_max = sessions_parse(optarg);
            break;
        case OPTION_VERBOSE:
            arguments->verbose = true;
            break;
        case OPTION_KEYGEN:
            arguments->keygen = optarg;
            break;
        case OPTION_PORT_FILE:
            arguments->port_file = optarg;
            break;
        case OPTION_HELP:
            help_print();
        case OPTION_VERSION:
            printf("spand (ld-span) %s\n", SPAN_VERSION);
            exit(0);
        case ':':
            fail("missing value: %s needs one (see spand --help)", argv[index]);
        default:
            fail("bad option: %s (see spand --help)", argv[index]);
        }
    }
}

/* Written aside and renamed, so that whoever waits for the file never reads half of it. */
static void port_file_write(const char *path, const char *port)
{
    char aside[4096];
    if (snprintf(aside, sizeof aside, "%s.new", path) >= (int)sizeof aside)
        fail("cannot write port file %s: the name is too long", path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && dprintf(fd, "%s\n", port) > 0;
    if (fd >= 0 && close(fd) < 0)
        good = false;
    if (!good || rename(aside, path) < 0)
        fail("cannot write port file %s: %s", path, strerror(errno));
}

static void secrecy_check(const struct arguments *arguments)
{
    int loopback = channel_is_loopback(arguments->listen);
    if (loopback == -EINVAL)
        fail("bad value for --listen: %s (give ADDRESS or ADDRESS:PORT)", arguments->listen);
    if (loopback < 0)
        fail("cannot listen on %s: no such host (check the name)", arguments->listen);
    if (!loopback && !arguments->key && !arguments->insecure)
        fail("cannot listen on %s without a key: whoever reaches it could run programs here (give "
             "--key FILE, or "
             "--insecure on a network that you trust)",
             arguments->listen);
}

/* Every standard descriptor is open, so that none of ours takes its place. */
static void descriptors_check(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            _exit(SPAN_EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    char why[WIRE_MESSAGE_BYTES] = "", name[64];
    struct arguments arguments;
    struct channel_key *key = NULL;
    descriptors_check();
    arguments_parse(argc, argv, &arguments);
    if (arguments.keygen) {
        if (channel_key_create(arguments.keygen, why) < 0)
            fail("%s", why);
        return 0;
    }
    if (arguments.key && channel_key_read(arguments.key, &key, why) < 0)
        fail("%s", why);
    secrecy_check(&arguments);

    /* Before anybody can be told that the agent is there, so that being told to end is never
     * missed. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = channel_listen(arguments.listen, name, why);
    if (fd < 0)
        fail("%s", why);
    if (arguments.port_file)
        port_file_write(arguments.port_file, strrchr(name, ':') + 1);
    fprintf(stderr, "spand: listening on %s\n", name);

    struct agent_configuration configuration = {
        .listen_fd = fd, .key = key, .sessions_max = arguments.sessions_max, .verbose = arguments.verbose};
    int status = agent_run(&configuration);
    if (arguments.port_file)
        unlink(arguments.port_file);
    return status;
}
