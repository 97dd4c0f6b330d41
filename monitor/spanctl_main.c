/*
 * spanctl: looks at running sessions and steers them. docs/man/spanctl.1 is the manual.
 * Not for what is answered: monitor/control.h. Runs outside of any session, as an ordinary program.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ld-span/options.h"
#include "monitor/control.h"
#include "monitor/statistics.h"
#include "monitor/unwind.h"

#define EXIT_REFUSED     1 /* there is no such session, or it said no */
#define EXIT_USAGE       2
#define TIMEOUT_S        10
#define FRAMES_MAX       64
#define STACK_TIMEOUT_MS 3000
#define ANSWER_BYTES_MAX (64u * 1024u * 1024u)

static bool as_json;

static _Noreturn void fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
static _Noreturn void fail(int status, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "spanctl: %s\n", text);
    if (as_json) {
        json_t *object = json_pack("{s:s}", "error", text);
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    exit(status);
}

/* ---- asking -------------------------------------------------------------------------------- */

static int socket_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

/* One line from the socket; NULL when the session ended (`*ended`) or was silent for too long. */
static char *line_receive(int fd, bool *ended)
{
    size_t room = 64 * 1024, used = 0;
    char *text = malloc(room);
    while (text != NULL) {
        ssize_t got = recv(fd, text + used, room - used, 0);
        if (got < 0 && errno == EINTR)
            continue;
        *ended = got == 0 || (got < 0 && errno == ECONNRESET);
        if (got <= 0)
            break;
        char *end = memchr(text + used, '\n', (size_t)got);
        if (end != NULL) {
            *end = 0;
            return text;
        }
        used += (size_t)got;
        if (used == room) {
            char *larger = room < ANSWER_BYTES_MAX ? realloc(text, room *= 2) : NULL;
            if (larger == NULL)
                break;
            text = larger;
        }
    }
    free(text);
    return NULL;
}

/* The answer of the session behind `path`: 0 and an object to be released, or a negative errno. */
static int session_ask(const char *path, const char *request, json_t **answer)
{
    char line[128];
    int length = snprintf(line, sizeof line, "%s\n", request);
    int fd = socket_open(path);
    if (fd < 0)
        return fd;
    char *text = NULL;
    bool ended = true;
    if (send(fd, line, (size_t)length, MSG_NOSIGNAL) == length)
        text = line_receive(fd, &ended);
    close(fd);
    if (text == NULL)
        return ended ? -EPIPE : -ETIMEDOUT;
    *answer = json_loads(text, 0, NULL);
    free(text);
    return json_is_object(*answer) ? 0 : -EPROTO;
}

/* ---- finding ------------------------------------------------------------------------------- */

/* Directories in which sessions of `uid` may have their sockets: ours, and those of a login without
 * our environment. */
static unsigned directories_find(uid_t uid, char out[3][CONTROL_PATH_BYTES])
{
    unsigned count = 0;
    const char *own = getenv("XDG_RUNTIME_DIR");
    if (own != NULL && own[0] == '/' &&
        snprintf(out[0], CONTROL_PATH_BYTES, "%s/ld-span-%u", own, (unsigned)uid) < CONTROL_PATH_BYTES)
        count++;
    snprintf(out[count++], CONTROL_PATH_BYTES, "/run/user/%u/ld-span-%u", (unsigned)uid, (unsigned)uid);
    snprintf(out[count++], CONTROL_PATH_BYTES, "/tmp/ld-span-%u", (unsigned)uid);
    return count;
}

static json_t *session_request(pid_t pid, const char *request)
{
    char directories[3][CONTROL_PATH_BYTES], path[CONTROL_PATH_BYTES], process[32];
    struct stat status;
    snprintf(process, sizeof process, "/proc/%d", (int)pid);
    uid_t uid = stat(process, &status) == 0 ? status.st_uid : geteuid();
    unsigned count = directories_find(uid, directories);
    int result = -ENOENT;
    json_t *answer = NULL;
    for (unsigned i = 0; i < count && (result == -ENOENT || result == -ECONNREFUSED); i++) {
        int length = snprintf(path, sizeof path, "%s/%d", directories[i], (int)pid);
        if (length >= (int)sizeof path)
            continue;
        int tried = session_ask(path, request, &answer);
        result = tried == -ENOENT && result != -ENOENT ? result : tried;
    }
    if (result == -ENOENT || result == -ECONNREFUSED)
        fail(EXIT_REFUSED, "process %d has no session (spanctl list shows those there are)", (int)pid);
    if (result == -EACCES)
        fail(EXIT_REFUSED, "process %d belongs to another user (use spanctl as that user, or as root)", (int)pid);
    if (result == -EPIPE)
        fail(EXIT_REFUSED, "the session of process %d has ended", (int)pid);
    if (result == -ETIMEDOUT)
        fail(EXIT_REFUSED, "the session of process %d does not answer", (int)pid);
    if (result < 0)
        fail(EXIT_REFUSED, "the session of process %d cannot be asked: %s", (int)pid, strerror(-result));
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (error != NULL)
        fail(EXIT_REFUSED, "process %d: %s", (int)pid, error);
    return answer;
}

/* ---- showing ------------------------------------------------------------------------------- */

static json_int_t integer(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *string(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "?";
}

static void json_print(const json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
}

static bool list_has(const json_t *list, json_int_t pid)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (integer(json_array_get(list, i), "pid") == pid)
            return true;
    }
    return false;
}

/* Adds the status of every session that answers in the directories that `pattern` matches. */
static void sessions_collect(const char *pattern, json_t *list)
{
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            json_t *status = NULL;
            const char *name = strrchr(found.gl_pathv[i], '/') + 1;
            if (isdigit((unsigned char)*name) && !list_has(list, atoi(name)) &&
                session_ask(found.gl_pathv[i], "status", &status) == 0)
                json_array_append(list, status);
            json_decref(status);
        }
    }
    globfree(&found);
}

static void list_show(void)
{
    char directories[3][CONTROL_PATH_BYTES], pattern[CONTROL_PATH_BYTES + 2];
    json_t *list = json_array();
    if (geteuid() == 0) {
        sessions_collect("/run/user/*/ld-span-*/*", list);
        sessions_collect("/tmp/ld-span-*/*", list);
    }
    unsigned count = directories_find(geteuid(), directories);
    for (unsigned i = 0; i < count; i++) {
        if (snprintf(pattern, sizeof pattern, "%s/*", directories[i]) < (int)sizeof pattern)
            sessions_collect(pattern, list);
    }
    if (as_json) {
        json_print(list);
    } else if (json_array_size(list) > 0) {
        printf("%8s %6s %8s  %s\n", "PID", "NODES", "THREADS", "PROGRAM");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *session = json_array_get(list, i);
            printf("%8lld %6zu %8zu  %s\n", integer(session, "pid"), json_array_size(json_object_get(session, "nodes")),
                   json_array_size(json_object_get(session, "threads")), string(session, "program"));
        }
    }
    json_decref(list);
}

static void status_show(const json_t *session)
{
    const json_t *nodes = json_object_get(session, "nodes"), *threads = json_object_get(session, "threads");
    printf("%s (pid %lld)\n\n%6s %8s  %s\n", string(session, "program"), integer(session, "pid"), "NODE", "THREADS",
           "NAME");
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        printf("%6lld %8lld  %s\n", integer(node, "node"), integer(node, "threads"), string(node, "name"));
    }
    printf("\n%8s %6s %-8s %12s\n", "TID", "NODE", "STATE", "CALLS");
    for (size_t i = 0; i < json_array_size(threads); i++) {
        const json_t *thread = json_array_get(threads, i);
        printf("%8lld %6lld %-8s %12lld\n", integer(thread, "tid"), integer(thread, "node"), string(thread, "state"),
               integer(thread, "calls"));
    }
}

static void stats_show(const json_t *answer)
{
    static struct wire_statistics nodes[NODES_MAX];
    static const char *names[NODES_MAX];
    const json_t *list = json_object_get(answer, "nodes");
    unsigned count = (unsigned)json_array_size(list);
    if (count > NODES_MAX)
        count = NODES_MAX;
    for (unsigned i = 0; i < count; i++) {
        statistics_read_node(json_array_get(list, i), &nodes[i]);
        names[i] = string(json_array_get(list, i), "name");
    }
    const struct statistics_session session = {
        .program = string(answer, "program"),
        .pid = (pid_t)integer(answer, "pid"),
        .node_count = count,
        .names = names,
        .nodes = nodes,
        .wall_seconds = json_number_value(json_object_get(answer, "wall_seconds")),
    };
    char *text = statistics_text(&session);
    fputs(text != NULL ? text : "", stdout);
    free(text);
}

/* ---- stacks ---------------------------------------------------------------------------------- */

/* In a process of its own, which a page that never comes cannot keep for longer than it is waited for. */
static _Noreturn void frames_write(pid_t pid, const json_t *thread, int out)
{
    struct unwind_frame frames[FRAMES_MAX];
    uint64_t registers[WIRE_REPORT_REGISTERS];
    for (size_t i = 0; i < WIRE_REPORT_REGISTERS; i++)
        registers[i] = (uint64_t)json_integer_value(json_array_get(json_object_get(thread, "registers"), i));
    struct unwind *unwind = unwind_open(pid);
    unsigned count = unwind != NULL ? unwind_walk(unwind, registers, frames, FRAMES_MAX) : 0;
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:I, s:s, s:I, s:s}", "address", (json_int_t)frames[i].address,
                                              "function", frames[i].function, "offset", (json_int_t)frames[i].offset,
                                              "file", frames[i].file));
    _exit(json_dumpfd(list, out, JSON_COMPACT) == 0 ? EXIT_SUCCESS : EXIT_REFUSED);
}

/* The frames of a thread; NULL: its stack could not be read in time. */
static json_t *frames_read(pid_t pid, const json_t *thread)
{
    int ends[2];
    json_t *frames = NULL;
    if (pipe(ends) != 0)
        fail(EXIT_REFUSED, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        frames_write(pid, thread, ends[1]);
    close(ends[1]);
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    if (child > 0 && poll(&wait, 1, STACK_TIMEOUT_MS) == 1)
        frames = json_loadfd(ends[0], JSON_DISABLE_EOF_CHECK, NULL);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    close(ends[0]);
    return frames;
}

static void thread_show(const json_t *thread, const json_t *frames)
{
    const char *state = string(thread, "state");
    const json_t *arguments = json_object_get(thread, "arguments");
    printf("\nthread %lld on node %lld: ", integer(thread, "tid"), integer(thread, "node"));
    if (integer(thread, "waits_address") != 0)
        printf("waits for the page of %#llx for %lld ms", integer(thread, "waits_address"),
               integer(thread, "waits_ns") / 1000000);
    else if (strcmp(state, "runs") == 0)
        printf("runs");
    else if (arguments == NULL)
        printf("does not look");
    else
        printf(strcmp(state, "call") == 0 ? "in %s(" : "does not look; its last call is %s(", string(thread, "call"));
    for (size_t i = 0; i < json_array_size(arguments) && integer(thread, "waits_address") == 0; i++)
        printf("%s%#llx", i ? ", " : "", json_integer_value(json_array_get(arguments, i)));
    puts(arguments != NULL && integer(thread, "waits_address") == 0 ? ")" : "");
    if (frames == NULL)
        puts("  its stack cannot be read: a page of it does not come");
    for (size_t i = 0; i < json_array_size(frames); i++) {
        const json_t *frame = json_array_get(frames, i);
        const char *function = string(frame, "function"), *file = string(frame, "file");
        printf("  #%-2zu 0x%012llx", i, integer(frame, "address"));
        if (function[0])
            printf(" in %s+%#llx", function, integer(frame, "offset"));
        printf(file[0] ? " (%s)\n" : "\n", file);
    }
}

static void stacks_show(pid_t pid, json_t *answer, pid_t tid)
{
    json_t *threads = json_object_get(answer, "threads");
    bool found = tid == 0;
    if (!as_json)
        printf("%s (pid %d): %zu threads, %zu nodes\n", string(answer, "program"), (int)pid, json_array_size(threads),
               json_array_size(json_object_get(answer, "nodes")));
    for (size_t i = 0; i < json_array_size(threads); i++) {
        json_t *thread = json_array_get(threads, i);
        if (tid != 0 && integer(thread, "tid") != tid)
            continue;
        found = true;
        json_t *frames = frames_read(pid, thread);
        if (!as_json)
            thread_show(thread, frames);
        json_object_set_new(thread, "frames", frames != NULL ? frames : json_null());
    }
    if (!found)
        fail(EXIT_REFUSED, "process %d: there is no thread %d in this session", (int)pid, (int)tid);
    if (as_json)
        json_print(answer);
}

/* ---- the command line ---------------------------------------------------------------------- */

static void help_show(void)
{
    puts("Usage: spanctl [--json] [COMMAND]\n"
         "Looks at programs that run over several nodes under ld-span.so, and steers them.\n"
         "\n"
         "  list                    sessions of this user, of all users for root (the default)\n"
         "  status PID              nodes and threads of a session\n"
         "  stats PID               what each node has done so far\n"
         "  stack PID [TID]         where each thread is: its call, the page it waits for, its call chain\n"
         "  migrate PID TID NODE    moves a thread to a node\n"
         "\n"
         "  --json                  answers as JSON, one line\n"
         "  --help, --version       prints this, or the version, and ends\n"
         "\n"
         "Exit status: 0 done, 1 no such session or thread, or not possible, 2 wrong usage.");
}

static unsigned long number_read(const char *text, const char *what)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != 0 || errno != 0 || value > INT_MAX)
        fail(EXIT_USAGE, "%s is no %s (it has to be a number)", text, what);
    return value;
}

static void options_read(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            as_json = true;
            break;
        case 'h':
            help_show();
            exit(EXIT_SUCCESS);
        case 'v':
            printf("spanctl (ld-span) %s\n", SPAN_VERSION);
            exit(EXIT_SUCCESS);
        default:
            fail(EXIT_USAGE, "there is no option %s (see spanctl --help)", argv[optind - 1]);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments, more;
        const char *request;
    } commands[] = {{"list", 0, 0, NULL},
                    {"status", 1, 0, "status"},
                    {"stats", 1, 0, "stats"},
                    {"migrate", 3, 0, NULL},
                    {"stack", 1, 1, "threads"}};
    enum { LIST, STATUS, STATS, MIGRATE, STACK, COMMANDS };
    options_read(argc, argv);
    const char *command = optind < argc ? argv[optind] : "list";
    unsigned index = 0;
    while (index < COMMANDS && strcmp(commands[index].name, command) != 0)
        index++;
    if (index == COMMANDS)
        fail(EXIT_USAGE, "there is no command %s (spanctl --help shows those there are)", command);
    char **arguments = argv + optind + 1;
    int count = argc - optind - 1, wanted = commands[index].arguments;
    if ((count < wanted || count > wanted + commands[index].more) && !(index == LIST && optind == argc))
        fail(EXIT_USAGE, "%s takes %d argument%s (see spanctl --help)", command, wanted, wanted == 1 ? "" : "s");
    if (index == LIST) {
        list_show();
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
    }
    char request[64];
    pid_t pid = (pid_t)number_read(arguments[0], "process");
    if (index == MIGRATE)
        snprintf(request, sizeof request, "migrate %lu %lu", number_read(arguments[1], "thread"),
                 number_read(arguments[2], "node"));
    pid_t tid = index == STACK && count > 1 ? (pid_t)number_read(arguments[1], "thread") : 0;
    json_t *answer = session_request(pid, index == MIGRATE ? request : commands[index].request);
    if (index == STACK)
        stacks_show(pid, answer, tid);
    else if (as_json)
        json_print(answer);
    else if (index == STATUS)
        status_show(answer);
    else if (index == STATS)
        stats_show(answer);
    json_decref(answer);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_REFUSED;
}
