/* Writing to a pipe that nobody reads: SIGPIPE to the writing thread, EPIPE when it is ignored,
 * blocked or not wanted. */
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "behaviour.h"

static volatile int handled_by;

static void handler(int signal)
{
    (void)signal;
    handled_by = gettid();
}

static void *run(void *unused)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
    CHECK(write(ends[1], "x", 1) == -1 && errno == EPIPE && handled_by == gettid());
    handled_by = 0;
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR && write(ends[1], "x", 1) == -1 && errno == EPIPE);
    CHECK(signal(SIGPIPE, handler) != SIG_ERR && close(ends[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && close(ends[0]) == 0);
    CHECK(send(ends[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && handled_by == 0);
    CHECK(send(ends[1], "x", 1, 0) == -1 && errno == EPIPE && handled_by == gettid());
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t thread;
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("broken");
    return 0;
}
