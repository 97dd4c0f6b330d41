/*
 * What TCP knows of the way to the other side. In a file of its own, for the kernel's header and libc's do not go
 * together.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "runtime/channel.h"
#include "runtime/kernel.h"

#define IPPROTO_TCP_OPTION 6

int channel_link(const struct channel *channel, struct channel_link *link)
{
    struct tcp_info info;
    unsigned size = sizeof info;
    memset(&info, 0, sizeof info);
    long result =
        kernel_call(SYS_getsockopt, channel_fd(channel), IPPROTO_TCP_OPTION, TCP_INFO, (long)&info, (long)&size, 0);
    if (result < 0)
        return (int)result;
    if (size < offsetof(struct tcp_info, tcpi_notsent_bytes) + sizeof info.tcpi_notsent_bytes)
        return -ENOSYS;
    *link = (struct channel_link){
        .acknowledged = info.tcpi_bytes_acked, .unsent = info.tcpi_notsent_bytes, .round_trip_us = info.tcpi_rtt};
    return 0;
}
