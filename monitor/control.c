/*
 * The control socket: its place in the file system and the thread that serves it.
 * Not for the contents of answers (monitor/session_control.c) nor for the client
 * (monitor/spanctl_main.c).
 */
#include "monitor/control.h"
#include "runtime/descriptor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define STACK_BYTES       (256u * 1024u)
#define REQUEST_BYTES_MAX 128
#define CLIENT_TIMEOUT_S  5
#define CLIENTS_WAITING   8

static struct {
    const struct control_operations *operations;
    int (*fd_move)(int fd);
    int listener;
    pthread_t thread;
    pid_t owner; /* 0: there is no socket */
    char path[CONTROL_PATH_BYTES];
} control;

/* ---- the place ----------------------------------------------------------------------------- */

int control_directory(char path[CONTROL_PATH_BYTES])
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    if (base == NULL || base[0] != '/')
        base = "/tmp";
    int length = snprintf(path, CONTROL_PATH_BYTES, "%s/ld-span-%u", base, (unsigned)geteuid());
    return length < CONTROL_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

int control_path(pid_t pid, char path[CONTROL_PATH_BYTES])
{
    int result = control_directory(path);
    size_t length = result == 0 ? strlen(path) : 0;
    if (result == 0 &&
        snprintf(path + length, CONTROL_PATH_BYTES - length, "/%d", (int)pid) >= (int)(CONTROL_PATH_BYTES - length))
        result = -ENAMETOOLONG;
    return result;
}

/* /tmp is everybody's: a directory that another user made or can write is none of ours. */
static int directory_make(char path[CONTROL_PATH_BYTES])
{
    struct stat status;
    int result = control_directory(path);
    if (result < 0)
        return result;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &status) != 0)
        return -errno;
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return -EPERM;
    return 0;
}

static int address_make(struct sockaddr_un *address, const char *path)
{
    size_t length = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    memcpy(address->sun_path, path, length + 1);
    return 0;
}

/* Removes a socket that nobody serves. True when it is gone. */
static bool stale_remove(const char *path)
{
    struct sockaddr_un address;
    if (address_make(&address, path) != 0)
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
    descriptor_close(fd);
    return stale && unlink(path) == 0;
}

/* What sessions that were killed have left behind. */
static void stale_remove_all(const char *directory)
{
    char path[CONTROL_PATH_BYTES];
    DIR *list = opendir(directory);
    if (list == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (!isdigit((unsigned char)entry->d_name[0]) || kill((pid_t)atoi(entry->d_name), 0) == 0 || errno != ESRCH)
            continue;
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (length < (int)sizeof path)
            stale_remove(path);
    }
    closedir(list);
}

/* ---- requests ------------------------------------------------------------------------------ */

static char *answer_error(const char *format, long what)
{
    char message[160];
    snprintf(message, sizeof message, format, what);
    json_t *object = json_pack("{s:s}", "error", message);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

static char *migrate_answer(const char *arguments)
{
    int tid, end = 0;
    unsigned node;
    if (sscanf(arguments, "%d %u %n", &tid, &node, &end) != 2 || arguments[end] != 0 || tid <= 0)
        return answer_error("migrate needs a thread and a node (migrate TID NODE)", 0);
    switch (control.operations->migrate(tid, node)) {
    case 0:
        return strdup("{\"migrating\":true}");
    case -ESRCH:
        return answer_error("there is no thread %ld in this session", tid);
    case -EINVAL:
        return answer_error("there is no node %ld in this session", (long)node);
    default:
        return answer_error("the thread cannot go to node %ld now", (long)node);
    }
}

static char *request_answer(const char *request)
{
    if (strcmp(request, "status") == 0)
        return control.operations->status();
    if (strcmp(request, "stats") == 0)
        return control.operations->statistics();
    if (strcmp(request, "threads") == 0)
        return control.operations->threads();
    if (strncmp(request, "migrate ", 8) == 0)
        return migrate_answer(request + 8);
    return answer_error("unknown request (known are: status, stats, threads, migrate TID NODE)", 0);
}

/* ---- serving ------------------------------------------------------------------------------- */

static bool client_may_ask(int client)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static bool send_all(int client, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t put = send(client, text, size, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        text += put;
        size -= (size_t)put;
    }
    return true;
}

/* Answers requests until the client goes, is silent for too long, or sends what is no line. */
static void client_serve(int client)
{
    char line[REQUEST_BYTES_MAX];
    size_t used = 0;
    for (;;) {
        char *end = memchr(line, '\n', used);
        if (end == NULL) {
            ssize_t got = used < sizeof line ? recv(client, line + used, sizeof line - used, 0) : 0;
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return;
            used += (size_t)got;
            continue;
        }
        *end = 0;
        char *answer = request_answer(line);
        bool sent = answer != NULL && send_all(client, answer, strlen(answer)) && send_all(client, "\n", 1);
        free(answer);
        if (!sent)
            return;
        used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, used);
    }
}

static int descriptor_move(int fd)
{
    return control.fd_move != NULL ? control.fd_move(fd) : fd;
}

static void *serve(void *unused)
{
    (void)unused;
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    for (;;) {
        /* A blocked accept keeps the lowest free number to itself, and that is the program's. */
        struct pollfd wait = {.fd = control.listener, .events = POLLIN};
        poll(&wait, 1, -1);
        if (__atomic_load_n(&control.owner, __ATOMIC_ACQUIRE) == 0)
            return NULL;
        int client = accept4(control.listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EAGAIN))
            continue;
        if (client < 0) {
            if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
                return NULL;
            sleep(1); /* the program may close some */
            continue;
        }
        client = descriptor_move(client);
        if (client < 0)
            continue;
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (client_may_ask(client))
            client_serve(client);
        descriptor_close(client);
    }
}

static int listener_make(const char *path)
{
    struct sockaddr_un address;
    int result = address_make(&address, path);
    if (result < 0)
        return result;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    /* Left by what this process was before an exec. */
    if (!bound && errno == EADDRINUSE && stale_remove(path))
        bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (!bound || listen(fd, CLIENTS_WAITING) != 0) {
        result = -errno;
        descriptor_close(fd);
        return result;
    }
    return descriptor_move(fd);
}

/* The thread gets no signal of the program's. */
static int thread_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&control.thread, &attributes, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

int control_start(const struct control_operations *operations, int (*fd_move)(int fd))
{
    char directory[CONTROL_PATH_BYTES];
    if (control.owner != 0)
        return -EALREADY;
    int result = directory_make(directory);
    if (result == 0)
        result = control_path(getpid(), control.path);
    if (result < 0)
        return result;
    stale_remove_all(directory);
    control.operations = operations;
    control.fd_move = fd_move;
    control.listener = listener_make(control.path);
    if (control.listener < 0)
        return control.listener;
    control.owner = getpid();
    result = thread_start();
    if (result < 0) {
        control_stop();
        descriptor_close(control.listener);
    }
    return result;
}

void control_stop(void)
{
    if (control.owner == 0 || control.owner != getpid())
        return;
    control.owner = 0;
    unlink(control.path);
}

bool control_end(void)
{
    if (control.owner == 0 || control.owner != getpid())
        return false;
    control_stop();
    shutdown(control.listener, SHUT_RDWR); /* the thread finds nobody to wait for */
    pthread_join(control.thread, NULL);
    descriptor_close(control.listener);
    return true;
}

void control_forget(void)
{
    control.owner = 0;
}
