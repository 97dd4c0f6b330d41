/* TCP and UDP on loopback: a server and clients in threads on several nodes, large and small
 * messages, shutdown. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include "behaviour.h"

#define LARGE 300000

static struct sockaddr_in address;
static int listener;

static void *serve(void *unused)
{
    for (int i = 0; i < 2; i++) {
        static char bytes[4096];
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        CHECK(client >= 0);
        for (ssize_t got; (got = read(client, bytes, sizeof bytes)) > 0;)
            for (ssize_t put, done = 0; done < got; done += put)
                CHECK((put = write(client, bytes + done, (size_t)(got - done))) > 0);
        CHECK(close(client) == 0);
    }
    return unused;
}

static void *send_large(void *argument)
{
    int fd = *(int *)argument;
    static char bytes[LARGE];
    memset(bytes, 'x', LARGE);
    for (ssize_t put, done = 0; done < LARGE; done += put)
        CHECK((put = send(fd, bytes + done, (size_t)(LARGE - done), 0)) > 0);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    return NULL;
}

static void *ask(void *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    char text[64];
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    for (int i = 0; i < 50; i++) {
        int length = snprintf(text, sizeof text, "message %d", i);
        char back[64];
        CHECK(send(fd, text, (size_t)length, 0) == length && recv(fd, back, (size_t)length, MSG_WAITALL) == length);
        CHECK(memcmp(text, back, (size_t)length) == 0);
    }
    pthread_t thread;
    long sum = 0;
    CHECK0(pthread_create(&thread, NULL, send_large, &fd));
    static char bytes[4096];
    for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        sum += got;
    CHECK0(pthread_join(thread, NULL));
    CHECK(sum == LARGE && close(fd) == 0);
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    socklen_t size = sizeof address;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 5) == 0 &&
          getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    CHECK0(pthread_create(&threads[0], NULL, serve, NULL));
    CHECK0(pthread_create(&threads[1], NULL, ask, NULL));
    CHECK0(pthread_join(threads[1], NULL));
    ask(NULL);
    CHECK0(pthread_join(threads[0], NULL));
    close(listener);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, size) == -1 && errno == ECONNREFUSED);
    puts("echoed");
    return 0;
}
