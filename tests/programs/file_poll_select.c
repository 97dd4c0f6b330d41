/* poll and select from several nodes: readable, writable, hung up, not open, in time; a closed pipe
 * wakes all. */
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>

#include "behaviour.h"

static int ends[2];
static _Atomic int waiting;

static void *by_poll(void *unused)
{
    struct pollfd list[3] = {{ends[0], POLLIN, 0}, {ends[1], 0, 0}, {-1, POLLIN, 0}};
    waiting++;
    CHECK(poll(list, 3, 10000) == 1 && list[0].revents == POLLIN && list[1].revents == 0);
    return unused;
}

static void *by_select(void *unused)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    struct timeval time = {10, 0};
    waiting++;
    CHECK(select(ends[0] + 1, &set, NULL, NULL, &time) == 1 && FD_ISSET(ends[0], &set) && time.tv_sec < 10);
    return unused;
}

int main(void)
{
    pthread_t threads[4];
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_create(&threads[i], NULL, i % 2 ? by_poll : by_select, NULL));
    while (waiting < 4)
        usleep(1000);
    usleep(10000);
    CHECK(write(ends[1], "x", 1) == 1);
    for (int i = 0; i < 4; i++)
        CHECK0(pthread_join(threads[i], NULL));
    struct pollfd list[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    CHECK(poll(list, 2, 0) == 2 && list[1].revents == POLLOUT);
    close(ends[1]);
    CHECK(poll(list, 2, 0) == 2 && list[0].revents == (POLLIN | POLLHUP) && list[1].revents == POLLNVAL);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends[1], &set);
    CHECK(select(ends[1] + 1, &set, NULL, NULL, NULL) == -1 && errno == EBADF);
    CHECK(syscall(SYS_poll, list, 1u << 30, 0) == -1 && errno == EINVAL);
    puts("woken");
    return 0;
}
