/*
 * Letting sessions in: hello and welcome on the peer's side, and thread connections from the agent
 * to a session. Not for what a session does then (peer_run), nor for which connections belong to
 * which session (monitor/agent.c).
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>

#include "monitor/peer.h"
#include "runtime/pager.h"

const struct channel_key *peer_key;

static enum wire_status hello_check(const struct wire_hello *hello, const struct wire_cpu *cpu, const char *refusal,
                                    char message[WIRE_MESSAGE_BYTES])
{
    if (hello->magic != WIRE_MAGIC || hello->version != WIRE_VERSION) {
        snprintf(message, WIRE_MESSAGE_BYTES,
                 "it speaks version %u of the protocol, home speaks %u (install the same "
                 "ld-span on both)",
                 WIRE_VERSION, hello->version);
        return WIRE_BAD_VERSION;
    }
    if (refusal) {
        snprintf(message, WIRE_MESSAGE_BYTES, "%s", refusal);
        return WIRE_REFUSED;
    }
    enum wire_status status = wire_cpu_check(&hello->cpu, cpu, message);
    if (status == WIRE_OK && pager_probe(message) < 0)
        status = WIRE_NO_USERFAULT;
    return status;
}

static unsigned cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

static uint64_t memory_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

int peer_admit(struct channel *channel, const char *refusal, int timeout_ms, struct wire_hello *hello,
               char why[WIRE_MESSAGE_BYTES])
{
    int error = channel_receive_bytes(channel, hello, sizeof *hello, timeout_ms);
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "no hello: %s", strerror(-error));
        return error;
    }
    hello->program[sizeof hello->program - 1] = 0;
    struct wire_welcome welcome = {
        .magic = WIRE_MAGIC, .version = WIRE_VERSION, .cpu_count = cpu_count(), .memory_bytes = memory_bytes()};
    wire_cpu_probe(&welcome.cpu);
    enum wire_status status = hello_check(hello, &welcome.cpu, refusal, welcome.message);
    if (status == WIRE_OK)
        welcome.message[0] = 0;
    welcome.status = (uint16_t)status;
    memcpy(why, welcome.message, WIRE_MESSAGE_BYTES);
    error = channel_send_bytes(channel, &welcome, sizeof welcome);
    if (error)
        snprintf(why, WIRE_MESSAGE_BYTES, "cannot send the welcome: %s", strerror(-error));
    return error ? error : (int)status;
}

int peer_send_thread(int thread_socket, int fd)
{
    char byte = 0;
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    ssize_t sent = sendmsg(thread_socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : 0;
}

int peer_receive_thread(int thread_socket, bool wait, int *fd)
{
    char byte;
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t received = recvmsg(thread_socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    if (received <= 0)
        return received < 0 ? -errno : 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof *fd))
        return -EMFILE; /* the kernel drops a descriptor for which there is no room here */
    memcpy(fd, CMSG_DATA(header), sizeof *fd);
    return 1;
}
