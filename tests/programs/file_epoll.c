/* epoll: waited for by threads on several nodes, level, edge and one shot, changed while it is
 * waited for. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "behaviour.h"

static int epoll, events[3];
static _Atomic int got[3], stop;

static void *run(void *unused)
{
    struct epoll_event event;
    while (!stop) {
        int count = epoll_wait(epoll, &event, 1, 1000);
        CHECK(count >= 0);
        if (count == 0 || event.data.u32 == 99)
            continue;
        uint64_t value;
        if (event.data.u32 != 1) /* the one with an edge is left as it is */
            CHECK(read(events[event.data.u32], &value, sizeof value) == sizeof value || errno == EAGAIN);
        got[event.data.u32]++;
        if (event.data.u32 == 2) {
            event.events = EPOLLIN | EPOLLONESHOT;
            CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, events[2], &event) == 0);
        }
    }
    return unused;
}

int main(void)
{
    static const unsigned kinds[] = {EPOLLIN, EPOLLIN | EPOLLET, EPOLLIN | EPOLLONESHOT};
    pthread_t threads[2];
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        struct epoll_event event = {.events = kinds[i], .data.u32 = (unsigned)i};
        events[i] = eventfd(0, EFD_NONBLOCK);
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, events[i], &event) == 0);
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, events[i], &event) == -1 && errno == EEXIST);
    }
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 30; i++) {
        uint64_t one = 1;
        int before = got[i % 3];
        CHECK(write(events[i % 3], &one, sizeof one) == sizeof one);
        while (got[i % 3] == before)
            usleep(200);
    }
    stop = 1;
    int pipe_ends[2];
    struct epoll_event wake = {.events = EPOLLIN, .data.u32 = 99};
    CHECK(pipe(pipe_ends) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &wake) == 0 &&
          write(pipe_ends[1], "x", 1) == 1);
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%d\n", got[1]);
    return 0;
}
