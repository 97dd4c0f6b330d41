/*
 * Names of nodes: "host[:port]" and "[v6]:port" to socket addresses.
 * Not for connecting (channel_open.c).
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/channel_private.h"

#define HOST_BYTES   256
#define ANSWER_BYTES 4096

/* Splits an address. A bare IPv6 address (more than one colon, no brackets) has no port. */
static int address_split(const char *address, char host[HOST_BYTES], uint16_t *port)
{
    const char *start = address, *end, *rest;
    if (*address == '[') {
        start = address + 1;
        end = strchr(start, ']');
        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        rest = end + 1;
    } else {
        end = strchr(address, ':');
        if (!end || strchr(end + 1, ':'))
            end = address + strlen(address);
        rest = end;
    }
    size_t length = (size_t)(end - start);
    if (length == 0 || length >= HOST_BYTES)
        return -EINVAL;
    memcpy(host, start, length);
    host[length] = 0;
    *port = WIRE_PORT;
    if (*rest == ':') {
        char *after;
        unsigned long number = strtoul(rest + 1, &after, 10);
        if (rest[1] < '0' || rest[1] > '9' || *after || number > 65535)
            return -EINVAL;
        *port = (uint16_t)number;
    }
    return 0;
}

static void address_make(int family, const void *bytes, uint16_t port, struct sockaddr_storage *address)
{
    *address = (struct sockaddr_storage){0};
    if (family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, bytes, sizeof v4->sin_addr);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, bytes, sizeof v6->sin6_addr);
    }
}

static bool address_parse(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    uint8_t bytes[16];
    int family = inet_pton(AF_INET, host, bytes) == 1 ? AF_INET : inet_pton(AF_INET6, host, bytes) == 1 ? AF_INET6 : 0;
    if (family)
        address_make(family, bytes, port, address);
    return family != 0;
}

/* /etc/hosts: hosts(5). */
static int hosts_lookup(const char *host, uint16_t port, struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX])
{
    FILE *file = fopen("/etc/hosts", "re");
    if (!file)
        return 0;
    char line[1024];
    int count = 0;
    while (count < CHANNEL_ADDRESSES_MAX && fgets(line, sizeof line, file)) {
        line[strcspn(line, "#\n")] = 0;
        char *save, *number = strtok_r(line, " \t\r", &save), *name;
        if (!number)
            continue;
        while ((name = strtok_r(NULL, " \t\r", &save))) {
            if (strcasecmp(name, host) == 0) {
                count += address_parse(number, port, &addresses[count]);
                break;
            }
        }
    }
    fclose(file);
    return count;
}

/* Past a name in a DNS message (RFC 1035, 4.1.4); NULL when it runs out of it. */
static const uint8_t *dns_skip_name(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        if (*at == 0)
            return at + 1;
        if (*at >= 0xc0)
            return at + 2 <= end ? at + 2 : NULL;
        at += 1 + *at;
    }
    return NULL;
}

static unsigned dns_number(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Appends the addresses of a host to `count` others. RFC 1035, 4.1. */
static int dns_lookup(const char *host, uint16_t port, int type, int count,
                      struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX])
{
    uint8_t answer[ANSWER_BYTES];
    int size = res_search(host, C_IN, type, answer, sizeof answer);
    if (size < NS_HFIXEDSZ || size > (int)sizeof answer)
        return count;
    const uint8_t *at = answer + NS_HFIXEDSZ, *end = answer + size;
    unsigned questions = dns_number(answer + 4), answers = dns_number(answer + 6);
    while (questions-- > 0 && at)
        at = (at = dns_skip_name(at, end)) && end - at >= 4 ? at + 4 : NULL;
    while (answers-- > 0 && at && count < CHANNEL_ADDRESSES_MAX) {
        at = dns_skip_name(at, end);
        if (!at || end - at < 10)
            break;
        unsigned record_type = dns_number(at), bytes = dns_number(at + 8);
        at += 10;
        if (end - at < (long)bytes)
            break;
        if (record_type == T_A && bytes == 4)
            address_make(AF_INET, at, port, &addresses[count++]);
        else if (record_type == T_AAAA && bytes == 16)
            address_make(AF_INET6, at, port, &addresses[count++]);
        at += bytes;
    }
    return count;
}

int address_resolve(const char *address, struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX])
{
    char host[HOST_BYTES];
    uint16_t port;
    int error = address_split(address, host, &port);
    if (error)
        return error;
    if (address_parse(host, port, &addresses[0]))
        return 1;
    int count = hosts_lookup(host, port, addresses);
    if (count == 0 && strcasecmp(host, "localhost") == 0) {
        address_parse("127.0.0.1", port, &addresses[0]);
        count = 1;
    }
    if (count == 0) {
        count = dns_lookup(host, port, T_A, 0, addresses);
        count = dns_lookup(host, port, T_AAAA, count, addresses);
    }
    return count > 0 ? count : -ENOENT;
}

socklen_t address_bytes(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool address_same_host(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
    if (one->ss_family != other->ss_family)
        return false;
    if (one->ss_family == AF_INET)
        return ((const struct sockaddr_in *)one)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)other)->sin_addr.s_addr;
    return IN6_ARE_ADDR_EQUAL(&((const struct sockaddr_in6 *)one)->sin6_addr,
                              &((const struct sockaddr_in6 *)other)->sin6_addr);
}

bool address_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

void address_name(const struct sockaddr_storage *address, char name[64])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(name, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(name, 64, "%s:%u", host, ntohs(v4->sin_port));
    }
}

int channel_is_loopback(const char *address)
{
    struct sockaddr_storage addresses[CHANNEL_ADDRESSES_MAX];
    int count = address_resolve(address, addresses);
    if (count < 0)
        return count;
    for (int i = 0; i < count; i++)
        if (!address_is_loopback(&addresses[i]))
            return 0;
    return 1;
}
