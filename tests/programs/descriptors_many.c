/* A program uses descriptors up to its limit, closes them, and its child inherits them; a thread on a peer meanwhile.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "behaviour.h"

#define LIMIT 1024

static void *wait_for(void *end)
{
    char byte;
    CHECK(read(*(int *)end, &byte, 1) == 1);
    return NULL;
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc == 1) { /* the limit is to hold from the start */
        CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        limit.rlim_cur = LIMIT;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        execl("/proc/self/exe", argv[0], "again", NULL);
        return 1;
    }
    int ends[2];
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    CHECK0(pthread_create(&thread, NULL, wait_for, &ends[0]));
    int highest = dup2(ends[1], 900);
    CHECK(highest == 900);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(fcntl(900, F_GETFD) == 0 && close(900) == 0 ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(close(900) == 0 && fcntl(900, F_GETFD) == -1);
    int count = 0, fds[LIMIT];
    for (int fd = dup(ends[1]); fd >= 0 && count < LIMIT; fd = dup(ends[1]))
        fds[count++] = fd;
    CHECK(count > LIMIT - 150);
    while (count > 0)
        CHECK(close(fds[--count]) == 0);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK0(pthread_join(thread, NULL));
    puts("closed");
    return 0;
}
