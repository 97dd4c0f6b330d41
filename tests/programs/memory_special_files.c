/* /dev/zero mapped privately and shared, a pipe's pages by vmsplice. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "behaviour.h"

static volatile int *private, *shared;

static void *run(void *unused)
{
    private[0] += 5;
    shared[0] += 7;
    return unused;
}

int main(void)
{
    pthread_t thread;
    int zero = open("/dev/zero", O_RDWR), value = 0, ends[2], status;
    private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    CHECK(private != MAP_FAILED && shared != MAP_FAILED);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    pid_t child = fork();
    if (child == 0) {
        run(NULL);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    struct iovec part = {(void *)private, 4096};
    CHECK(pipe(ends) == 0 && vmsplice(ends[1], &part, 1, 0) == 4096);
    CHECK(read(ends[0], &value, sizeof value) == sizeof value && value == 5);
    printf("%d %d\n", private[0], shared[0]);
    return 0;
}
