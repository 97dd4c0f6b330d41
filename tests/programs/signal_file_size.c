/* SIGXFSZ and EFBIG beyond RLIMIT_FSIZE; SIGXCPU when the CPU time is used up. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "behaviour.h"

static volatile int hits;

static void handler(int signal)
{
    (void)signal;
    hits++;
}

static void *run(void *unused)
{
    static char bytes[5000];
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && write(fd, bytes, 5000) == 4096 && hits == 0);
    CHECK(write(fd, bytes, 1) == -1 && errno == EFBIG && hits == 1);
    CHECK(ftruncate(fd, 5000) == -1 && errno == EFBIG && hits == 2);
    return unused;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct rlimit size = {4096, 4096};
    pthread_t thread;
    fflush(stdout);
    CHECK(sigaction(SIGXFSZ, &action, NULL) == 0 && setrlimit(RLIMIT_FSIZE, &size) == 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    printf("%d\n", hits);
    return 0;
}
