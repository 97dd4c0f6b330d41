/*
 * Making channels: connecting, accepting, the preamble.
 * Not for what follows them: frames (channel.c), hello and welcome (the monitor).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/channel_private.h"
#include "runtime/descriptor.h"

#define KEEPALIVE_IDLE_S     20
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      4

/*
 * No waiting for more to send (40 ms when the other side delays its acknowledgement), and the first
 * acknowledgements at once, while the other side's congestion window is small. A silent other
 * machine is noticed after 40 s. All of these are improvements only, and fail on a socket that is
 * not TCP, as tests use it.
 */
static void socket_prepare(int fd)
{
    const struct {
        int level, option, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_QUICKACK, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].option, &options[i].value, sizeof options[i].value);
}

static uint64_t deadline_after(int timeout_ms)
{
    return channel_now_ns() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) * 1000000u;
}

/* A connected descriptor, or negative errno. */
static int socket_connect(const struct sockaddr_storage *address, uint64_t deadline)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = 0;
    if (connect(fd, (const struct sockaddr *)address, address_bytes(address)) < 0) {
        error = errno;
        if (error == EINPROGRESS) {
            int ready = channel_poll(fd, POLLOUT, deadline);
            socklen_t size = sizeof error;
            if (ready <= 0)
                error = ready < 0 ? -ready : ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        }
    }
    /* From here on it blocks where a call does not say otherwise. */
    if (!error && fcntl(fd, F_SETFL, 0) < 0)
        error = errno;
    if (error) {
        close(fd);
        return -error;
    }
    return fd;
}

static unsigned address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

static int connect_any(const char *address, uint64_t deadline, char why[WIRE_MESSAGE_BYTES])
{
    struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX];
    int count = address_resolve(address, addresses);
    if (count < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot connect to %s: %s", address,
                 count == -EINVAL ? "it is not of the form HOST[:PORT]" : "no such host (check the name)");
        return count;
    }
    int result = -ENOENT;
    for (int i = 0; i < count && result < 0; i++)
        result = socket_connect(&addresses[i], deadline);
    if (result < 0)
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot connect to %s, port %u: %s%s", address, address_port(&addresses[0]),
                 strerror(-result),
                 result == -ECONNREFUSED ? " (start spand there)" : " (check the name and the network)");
    return result;
}

int channel_connect(const char *address, enum wire_kind kind, const uint8_t session[16], const struct channel_key *key,
                    int timeout_ms, int fd_floor, struct channel **out, char why[WIRE_MESSAGE_BYTES])
{
    *out = NULL;
    uint64_t deadline = deadline_after(timeout_ms);
    int fd = connect_any(address, deadline, why);
    if (fd < 0)
        return fd;
    fd = descriptor_raise(fd, fd_floor);
    if (fd < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot connect to %s: %s (raise the limit of open files)", address,
                 strerror(-fd));
        return fd;
    }
    socket_prepare(fd);
    struct channel *channel = channel_create(fd);
    if (!channel) {
        close(fd);
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot connect to %s: no memory", address);
        return -ENOMEM;
    }
    struct wire_preamble preamble = {
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .kind = (uint8_t)kind, .flags = key ? WIRE_PREAMBLE_TLS : 0};
    memcpy(preamble.session, session, sizeof preamble.session);
    int error = channel_send_bytes(channel, &preamble, sizeof preamble);
    if (error)
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot connect to %s: %s", address, strerror(-error));
    else if (key)
        error = tls_start(channel, key, false, deadline, address, why);
    if (error) {
        channel_close(channel);
        return error;
    }
    *out = channel;
    return 0;
}

int channel_accept(int fd, const struct channel_key *key, int timeout_ms, struct channel **out,
                   char why[WIRE_MESSAGE_BYTES])
{
    *out = NULL;
    uint64_t deadline = deadline_after(timeout_ms);
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char name[64] = "the other side";
    if (getpeername(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family != AF_UNIX)
        address_name(&address, name);
    socket_prepare(fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && flags & O_NONBLOCK)
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    struct channel *channel = channel_create(fd);
    if (!channel) {
        close(fd);
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot accept %s: no memory", name);
        return -ENOMEM;
    }
    int error = key ? tls_start(channel, key, true, deadline, name, why) : 0;
    if (error) {
        channel_close(channel);
        return error;
    }
    *out = channel;
    return 0;
}

int channel_read_preamble(int fd, int timeout_ms, struct wire_preamble *out)
{
    uint64_t deadline = deadline_after(timeout_ms);
    size_t used = 0;
    while (used < sizeof *out) {
        long received = kernel_call(SYS_recvfrom, fd, (long)((uint8_t *)out + used), (long)(sizeof *out - used),
                                    MSG_DONTWAIT, 0, 0);
        if (received == 0 || received == -ECONNRESET)
            return -EPIPE;
        if (received > 0) {
            used += (size_t)received;
            continue;
        }
        if (received != -EAGAIN && received != -EINTR)
            return (int)received;
        int ready = channel_poll(fd, POLLIN, deadline);
        if (ready <= 0)
            return ready < 0 ? ready : -ETIMEDOUT;
    }
    return out->magic == WIRE_MAGIC ? 0 : -EPROTO;
}

int channel_listen(const char *address, char name[64], char why[WIRE_MESSAGE_BYTES])
{
    struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX];
    int count = address_resolve(address, addresses);
    if (count < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot listen on %s: %s", address,
                 count == -EINVAL ? "it is not of the form ADDRESS[:PORT]" : "no such host (check the name)");
        return count;
    }
    int fd = socket(addresses[0].ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    socklen_t size = sizeof addresses[0];
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&addresses[0], address_bytes(&addresses[0])) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&addresses[0], &size) < 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot listen on %s: %s%s", address, strerror(error),
                 error == EADDRINUSE ? " (another agent or program has it; choose another port with --listen)" : "");
        return -error;
    }
    address_name(&addresses[0], name);
    return fd;
}
