/* Sockets: timeouts, non-blocking connects, datagrams, abstract names, peeking, errors, from
 * another node. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "behaviour.h"

static void *run(void *unused)
{
    int ends[2], type;
    socklen_t size = sizeof type;
    char text[16];
    struct timeval time = {0, 20000};
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
    CHECK(recv(ends[0], text, sizeof text, 0) == -1 && errno == EAGAIN);
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET);
    CHECK(send(ends[1], "first", 5, 0) == 5 && send(ends[1], "second", 6, 0) == 6);
    CHECK(recv(ends[0], text, 3, MSG_PEEK | MSG_TRUNC) == 5 && recv(ends[0], text, 3, 0) == 3 &&
          recv(ends[0], text, sizeof text, 0) == 6);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && recv(ends[0], text, 1, 0) == -1 && errno == EAGAIN);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int length = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "behaviour-%d", gettid());
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(server, (struct sockaddr *)&name, bytes) == 0 && bind(client, (struct sockaddr *)&name, bytes) == -1 &&
          errno == EADDRINUSE);
    CHECK(sendto(client, "hello", 5, 0, (struct sockaddr *)&name, bytes) == 5 &&
          recv(server, text, sizeof text, 0) == 5);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), error = 0;
    int result = connect(fd, (struct sockaddr *)&address, sizeof address);
    CHECK(result == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED));
    struct pollfd wait = {fd, POLLOUT, 0};
    CHECK(poll(&wait, 1, 1000) == 1);
    size = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && (error == ECONNREFUSED || error == 0));
    CHECK(getpeername(fd, (struct sockaddr *)&address, &size) == -1 && errno == ENOTCONN);
    for (int i = 0; i < 2; i++)
        close(ends[i]);
    close(server);
    close(client);
    close(fd);
    return unused;
}

int main(void)
{
    pthread_t thread;
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("as set");
    return 0;
}
