/* A long read past the page cache is not cut by signals. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "behaviour.h"

#define BYTES (8l << 20)

static void handler(int signal)
{
    (void)signal;
}

static void *idle(void *unused)
{
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, idle, NULL)); /* peers are in use */
    CHECK0(pthread_join(thread, NULL));
    char name[] = "direct-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, BYTES) == 0);
    close(fd);
    fd = open(name, O_RDONLY | O_DIRECT);
    unlink(name);
    if (fd < 0)
        return 77;
    char *buffer = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buffer != MAP_FAILED);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(pread(fd, buffer, BYTES, 0) == BYTES);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    puts("whole");
    return 0;
}
