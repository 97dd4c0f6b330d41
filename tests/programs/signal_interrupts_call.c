/* A signal ends a call that waits with EINTR, or with SA_RESTART lets it go on: alarm, setitimer,
 * and a thread. */
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "behaviour.h"

static volatile int alarms;
static int ends[2];

static void handler(int signal)
{
    (void)signal;
    alarms++;
    if (alarms == 3)
        CHECK(write(ends[1], "x", 1) == 1); /* lets the call that was restarted end */
}

static void handler_install(int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
}

int main(void)
{
    char byte;
    CHECK(pipe(ends) == 0);
    handler_install(0);
    alarm(1);
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR && alarms == 1);
    const struct itimerval soon = {.it_value = {0, 20000}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    struct timespec left;
    CHECK(nanosleep(&(struct timespec){30, 0}, &left) == -1 && errno == EINTR && alarms == 2);
    CHECK(left.tv_sec >= 28 && left.tv_sec < 30);

    handler_install(SA_RESTART);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(read(ends[0], &byte, 1) == 1 && byte == 'x' && alarms == 3);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(nanosleep(&(struct timespec){30, 0}, NULL) == -1 && errno == EINTR && alarms == 4); /* never restarted */
    printf("%d\n", alarms);
    return 0;
}
