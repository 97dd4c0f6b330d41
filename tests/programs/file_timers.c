/* timerfd: once, repeated, absolute, disarmed; read by a thread on another node and waited for by
 * epoll. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "behaviour.h"

static void *run(void *unused)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, 0), epoll = epoll_create1(0);
    struct itimerspec once = {.it_value = {0, 400000000}}, every = {{0, 5000000}, {0, 5000000}}, off = {0}, now;
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t count, sum = 0;
    CHECK(timer >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) == 0);
    CHECK(timerfd_settime(timer, 0, &once, NULL) == 0 && epoll_wait(epoll, &event, 1, 0) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 5000) == 1 && read(timer, &count, sizeof count) == sizeof count && count == 1);
    CHECK(timerfd_settime(timer, 0, &every, NULL) == 0);
    while (sum < 5) {
        CHECK(read(timer, &count, sizeof count) == sizeof count);
        sum += count;
    }
    CHECK(timerfd_gettime(timer, &now) == 0 && now.it_interval.tv_nsec == 5000000);
    CHECK(timerfd_settime(timer, 0, &off, &now) == 0 && epoll_wait(epoll, &event, 1, 20) == 0);
    clock_gettime(CLOCK_MONOTONIC, &off.it_value);
    CHECK(timerfd_settime(timer, TFD_TIMER_ABSTIME, &off, NULL) == 0 &&
          read(timer, &count, sizeof count) == sizeof count);
    close(timer);
    close(epoll);
    return unused;
}

int main(void)
{
    pthread_t thread;
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("rung");
    return 0;
}
