/* A server that gives up root before it makes its threads: they still run on other nodes, and it
 * still forks. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic int sum;

static void *run(void *unused)
{
    CHECK(getuid() == 65534);
    for (int i = 0; i < 1000; i++)
        sum++;
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    int status;
    if (geteuid() != 0)
        return 77;
    struct rlimit limit = {100, 100}; /* as memcached does; the monitor's descriptors have to fit as well */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(getuid() == 65534 ? 3 : 4);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 3);
    printf("%d\n", sum);
    fflush(stdout);
    child = fork();
    if (child == 0)
        execl("/usr/bin/id", "id", "-u", NULL);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
