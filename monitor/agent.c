/*
 * The agent's loop: accepts connections, reads their preambles, and starts, finds and ends
 * sessions. Not for keys, hellos or programs: whatever can take long or go wrong with a connection
 * happens in a child process, so that nobody waits for somebody else's network, and the agent
 * itself holds no session's state but its number.
 */
#include "monitor/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/peer.h"

#define PENDING_MAX      64 /* connections whose preamble is not complete */
#define PREAMBLE_MS      5000
#define HANDSHAKE_MS     5000
#define HELPERS_MAX      64 /* children that answer and end */
#define HELPER_S         15
#define ENDED_MAX        256 /* sessions remembered after their end */
#define TERMINATE_MS     2000
#define DRAIN_MS         500
#define SESSION_ID_BYTES 16

struct pending {
    int fd;
    size_t used;
    int64_t deadline_ms;
    struct wire_preamble preamble;
};

struct session {
    pid_t pid;  /* 0: free */
    int socket; /* to pass thread connections */
    uint8_t id[SESSION_ID_BYTES];
};

static struct agent_configuration configuration;
static int signal_fd = -1;
static struct pending pendings[PENDING_MAX];
static unsigned pending_count;
static struct session sessions[AGENT_SESSIONS_MAX];
static unsigned session_count, helper_count;
static uint8_t ended[ENDED_MAX][SESSION_ID_BYTES];
static unsigned ended_count; /* ever; the ring holds the last ENDED_MAX */
static bool is_ending;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fprintf(stderr, "spand: %s\n", line);
}

/* ---- the table of sessions ---- */

static struct session *session_find(const uint8_t id[SESSION_ID_BYTES])
{
    for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++)
        if (sessions[i].pid && memcmp(sessions[i].id, id, SESSION_ID_BYTES) == 0)
            return &sessions[i];
    return NULL;
}

static struct session *session_find_pid(pid_t pid)
{
    for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++)
        if (sessions[i].pid == pid)
            return &sessions[i];
    return NULL;
}

static bool session_has_ended(const uint8_t id[SESSION_ID_BYTES])
{
    for (unsigned i = 0; i < ENDED_MAX && i < ended_count; i++)
        if (memcmp(ended[i], id, SESSION_ID_BYTES) == 0)
            return true;
    return false;
}

static void session_forget(struct session *session)
{
    memcpy(ended[ended_count++ % ENDED_MAX], session->id, SESSION_ID_BYTES);
    close(session->socket);
    session->pid = 0;
    session_count--;
}

/* ---- children ---- */

/* A child ends with the agent, and has its signals unblocked and no descriptor but its own. */
static void child_begin(pid_t agent, int keep_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != agent)
        _exit(SPAN_EXIT_FAILURE);
    setpgid(0, 0); /* Ctrl-C is for the agent, which ends its sessions in order */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close(configuration.listen_fd);
    close(signal_fd);
    for (unsigned i = 0; i < pending_count; i++)
        if (pendings[i].fd != keep_fd)
            close(pendings[i].fd);
    for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++)
        if (sessions[i].pid)
            close(sessions[i].socket);
    peer_key = configuration.key;
}

static _Noreturn void session_child(int fd, int thread_socket)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    struct channel *channel;
    struct wire_hello hello;
    if (channel_accept(fd, configuration.key, HANDSHAKE_MS, &channel, why) < 0) {
        say("session refused: %s", why);
        _exit(SPAN_EXIT_FAILURE);
    }
    int status = peer_admit(channel, NULL, HANDSHAKE_MS, &hello, why);
    if (status != WIRE_OK) {
        say("session refused: %s", why);
        _exit(SPAN_EXIT_FAILURE);
    }
    if (configuration.verbose)
        say("session of %s (process %u at home) begins: node %u of %u", hello.program, hello.pid, hello.node,
            hello.node_count);
    _exit(peer_run(channel, thread_socket, &hello));
}

/* Lets the other side read what was sent before the connection goes: closing with unread input
 * would reset it. */
static void connection_drain(int fd)
{
    char bytes[512];
    int64_t deadline = now_ms() + DRAIN_MS;
    shutdown(fd, SHUT_WR);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    for (int64_t left = DRAIN_MS; left > 0; left = deadline - now_ms())
        if (poll(&pollfd, 1, (int)left) <= 0 || recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
            break;
}

/* Answers a connection that starts nothing: a probe, or one that is refused because of `status`. */
static _Noreturn void helper_child(int fd, const struct wire_preamble *preamble, enum wire_status status,
                                   const char *refusal)
{
    char why[WIRE_MESSAGE_BYTES] = "";
    struct channel *channel;
    struct wire_hello hello;
    alarm(HELPER_S);
    const struct channel_key *key = preamble->flags & WIRE_PREAMBLE_TLS ? configuration.key : NULL;
    if (channel_accept(fd, key, HANDSHAKE_MS, &channel, why) < 0) {
        say("connection refused: %s", why);
        _exit(SPAN_EXIT_FAILURE);
    }
    if (status == WIRE_OK) {
        if (peer_admit(channel, refusal, HANDSHAKE_MS, &hello, why) < 0 && configuration.verbose)
            say("probe failed: %s", why);
    } else {
        struct wire_welcome welcome = {.magic = WIRE_MAGIC, .version = WIRE_VERSION, .status = (uint16_t)status};
        snprintf(welcome.message, sizeof welcome.message, "%s", refusal);
        channel_send_bytes(channel, &welcome, sizeof welcome);
    }
    connection_drain(channel_fd(channel));
    _exit(0);
}

static void helper_start(int fd, const struct wire_preamble *preamble, enum wire_status status, const char *refusal)
{
    if (helper_count >= HELPERS_MAX)
        return;
    pid_t agent = getpid(), pid = fork();
    if (pid == 0) {
        child_begin(agent, fd);
        helper_child(fd, preamble, status, refusal);
    }
    if (pid < 0)
        say("cannot answer a connection: %s", strerror(errno));
    else
        helper_count++;
}

static void connection_refuse(int fd, const struct wire_preamble *preamble, enum wire_status status,
                              const char *refusal)
{
    if (configuration.verbose)
        say("connection refused: %s", refusal);
    helper_start(fd, preamble, status, refusal);
}

static void session_start(int fd, const struct wire_preamble *preamble)
{
    int pair[2];
    struct session *session = session_find_pid(0);
    if (!session || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "the agent has no descriptors left");
        return;
    }
    pid_t agent = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        child_begin(agent, fd);
        session_child(fd, pair[1]);
    }
    close(pair[1]);
    if (pid < 0) {
        say("cannot start a session: %s", strerror(errno));
        close(pair[0]);
        return;
    }
    session->pid = pid;
    session->socket = pair[0];
    memcpy(session->id, preamble->session, SESSION_ID_BYTES);
    session_count++;
}

/* ---- connections ---- */

static void thread_pass(int fd, const struct wire_preamble *preamble)
{
    struct session *session = session_find(preamble->session);
    int error = session ? peer_send_thread(session->socket, fd) : -ENOENT;
    if (error == -EAGAIN)
        connection_refuse(fd, preamble, WIRE_REFUSED, "the session does not take more threads now");
    else if (error && (session || session_has_ended(preamble->session)))
        connection_refuse(fd, preamble, WIRE_NO_SESSION, "the session has ended");
    else if (error)
        connection_refuse(fd, preamble, WIRE_NO_SESSION, "there is no such session");
}

/* The preamble is complete. The descriptor stays the caller's, who closes it. */
static void connection_begin(int fd, const struct wire_preamble *preamble)
{
    const char *full = session_count >= configuration.sessions_max
                           ? "it serves as many sessions as it may (wait, or start spand with a larger --max-sessions)"
                           : NULL;
    if (preamble->magic != WIRE_MAGIC) {
        if (configuration.verbose)
            say("connection closed: it is not ld-span's");
    } else if (preamble->version != WIRE_VERSION) {
        connection_refuse(fd, preamble, WIRE_BAD_VERSION,
                          "it speaks another version of the protocol (install the same "
                          "ld-span on both)");
    } else if (configuration.key && !(preamble->flags & WIRE_PREAMBLE_TLS)) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "it takes only connections with its key (use --key)");
    } else if (!configuration.key && preamble->flags & WIRE_PREAMBLE_TLS) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "it has no key (start spand with --key)");
    } else if (preamble->kind == WIRE_KIND_PROBE) {
        helper_start(fd, preamble, WIRE_OK, full);
    } else if (preamble->kind == WIRE_KIND_THREAD) {
        thread_pass(fd, preamble);
    } else if (preamble->kind != WIRE_KIND_SESSION) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "it does not know this kind of connection");
    } else if (session_find(preamble->session)) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "the session is open already");
    } else if (session_has_ended(preamble->session)) {
        connection_refuse(fd, preamble, WIRE_REFUSED, "the session has ended");
    } else if (full) {
        connection_refuse(fd, preamble, WIRE_REFUSED, full);
    } else {
        session_start(fd, preamble);
    }
}

static void pending_remove(unsigned index)
{
    close(pendings[index].fd);
    pendings[index] = pendings[--pending_count];
}

static void pending_read(unsigned index)
{
    struct pending *pending = &pendings[index];
    ssize_t received = recv(pending->fd, (char *)&pending->preamble + pending->used,
                            sizeof pending->preamble - pending->used, MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (received > 0)
        pending->used += (size_t)received;
    if (pending->used == sizeof pending->preamble)
        connection_begin(pending->fd, &pending->preamble);
    if (received <= 0 || pending->used == sizeof pending->preamble)
        pending_remove(index);
}

static void connections_accept(void)
{
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        int fd = accept4(configuration.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                if (pending_count > 0)
                    pending_remove(0);
                poll(NULL, 0, 10); /* the connection waits in the kernel; do not ask for it in a tight loop */
            }
            return;
        }
        if (pending_count == PENDING_MAX) {
            unsigned oldest = 0;
            for (unsigned j = 1; j < pending_count; j++)
                if (pendings[j].deadline_ms < pendings[oldest].deadline_ms)
                    oldest = j;
            pending_remove(oldest);
        }
        pendings[pending_count++] = (struct pending){.fd = fd, .deadline_ms = now_ms() + PREAMBLE_MS};
    }
}

/* ---- the loop ---- */

static void children_reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct session *session = session_find_pid(pid);
        if (!session) {
            helper_count--;
            continue;
        }
        session_forget(session);
        if (WIFSIGNALED(status) && !is_ending)
            say("a session ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (configuration.verbose)
            say("a session ended with status %d", WIFEXITED(status) ? WEXITSTATUS(status) : 128);
    }
}

/* False when the agent shall end. */
static bool signals_read(void)
{
    struct signalfd_siginfo info;
    bool go_on = true;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD)
            go_on = false;
    children_reap();
    return go_on;
}

static void sessions_kill(int signal)
{
    for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++)
        if (sessions[i].pid)
            kill(sessions[i].pid, signal);
}

static void sessions_end(void)
{
    is_ending = true;
    if (session_count > 0)
        say("told to end, and with it %u session%s: the programs of home end too", session_count,
            session_count == 1 ? "" : "s");
    sessions_kill(SIGTERM);
    int64_t deadline = now_ms() + TERMINATE_MS;
    struct pollfd pollfd = {.fd = signal_fd, .events = POLLIN};
    for (int64_t left = TERMINATE_MS; session_count > 0 && left > 0; left = deadline - now_ms())
        if (poll(&pollfd, 1, (int)left) > 0 && !signals_read())
            break; /* asked again: no more patience */
    sessions_kill(SIGKILL);
    for (unsigned i = 0; i < AGENT_SESSIONS_MAX; i++)
        if (sessions[i].pid)
            waitpid(sessions[i].pid, NULL, 0);
}

static int pendings_expire(void)
{
    int64_t now = now_ms(), next = -1;
    for (unsigned i = pending_count; i-- > 0;) {
        int64_t left = pendings[i].deadline_ms - now;
        if (left <= 0)
            pending_remove(i);
        else if (next < 0 || left < next)
            next = left;
    }
    return (int)next;
}

int agent_run(const struct agent_configuration *wanted)
{
    configuration = *wanted;
    /* Ignored by whoever started the agent, this would reap children before they are seen. */
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signal_fd < 0) {
        say("cannot watch signals: %s", strerror(errno));
        return SPAN_EXIT_FAILURE;
    }
    for (;;) {
        int timeout_ms = pendings_expire();
        struct pollfd pollfds[2 + PENDING_MAX] = {{.fd = configuration.listen_fd, .events = POLLIN},
                                                  {.fd = signal_fd, .events = POLLIN}};
        unsigned count = pending_count;
        for (unsigned i = 0; i < count; i++)
            pollfds[2 + i] = (struct pollfd){.fd = pendings[i].fd, .events = POLLIN};
        if (poll(pollfds, 2 + count, timeout_ms) < 0 && errno != EINTR) {
            say("cannot wait for connections: %s", strerror(errno));
            break;
        }
        if (pollfds[1].revents && !signals_read())
            break;
        /* From the last on: removing one moves the last into its place. */
        for (unsigned i = count; i-- > 0;)
            if (pollfds[2 + i].revents)
                pending_read(i);
        if (pollfds[0].revents)
            connections_accept();
    }
    close(configuration.listen_fd);
    sessions_end();
    return 0;
}
