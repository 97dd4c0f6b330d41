/* A thread that is moved to another node while it waits goes on waiting: no EINTR, no shorter and
 * no longer than asked. */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sem.h>
#include <time.h>

#include "behaviour.h"

#define WAIT_MS 150

static const struct timespec duration = {0, WAIT_MS * 1000000l};
static _Atomic int identity, turn = -1;

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What each call gives when its time is up. */
static int wait_by(int which)
{
    static int word, epoll, semaphores;
    struct sembuf operation = {0, -1, 0};
    struct epoll_event event;
    struct timeval seconds = {0, WAIT_MS * 1000};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    switch (which) {
    case 0:
        return poll(NULL, 0, WAIT_MS) == 0;
    case 1:
        return nanosleep(&duration, NULL) == 0;
    case 2:
        return clock_nanosleep(CLOCK_BOOTTIME, 0, &duration, NULL) == 0;
    case 3:
        epoll = epoll_create1(0);
        return epoll_wait(epoll, &event, 1, WAIT_MS) == 0 && close(epoll) == 0;
    case 4:
        return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &duration, NULL, 0) == -1 && errno == ETIMEDOUT;
    case 5:
        return sigtimedwait(&set, NULL, &duration) == -1 && errno == EAGAIN;
    case 6:
        return select(0, NULL, NULL, NULL, &seconds) == 0;
    case 7:
        return ppoll(NULL, 0, &duration, NULL) == 0;
    default:
        semaphores = semget(IPC_PRIVATE, 1, 0600);
        int result = semtimedop(semaphores, &operation, 1, &duration), error = errno;
        semctl(semaphores, 0, IPC_RMID);
        return result == -1 && error == EAGAIN;
    }
}

#define KINDS 9

static void *run(void *unused)
{
    (void)unused;
    identity = gettid();
    for (int i = 0; i < KINDS; i++) {
        long start = now_ms();
        turn = i;
        int right = wait_by(i);
        long took = now_ms() - start;
        printf("%d: %s, %s\n", i, right ? "right" : strerror(errno),
               took < WAIT_MS - 1   ? "too short"
               : took > 5 * WAIT_MS ? "too long"
                                    : "in time");
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    for (int i = 0; i < KINDS; i++) {
        while (turn < i)
            usleep(1000);
        move_thread(identity, 0);
        usleep(20000);
        move_thread(identity, 1);
    }
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
