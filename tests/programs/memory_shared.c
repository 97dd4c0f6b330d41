/* Shared memory is shared: parent and child, anonymous and of a file, and a futex between them. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int value;
};

static void shared_use(int fd)
{
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, flags, fd, 0);
    CHECK(shared != MAP_FAILED);
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;
    CHECK0(pthread_mutexattr_init(&mutex));
    CHECK0(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED));
    CHECK0(pthread_condattr_init(&condition));
    CHECK0(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED));
    CHECK0(pthread_mutex_init(&shared->lock, &mutex));
    CHECK0(pthread_cond_init(&shared->changed, &condition));
    shared->value = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    for (int i = 0; i < 50; i++) {
        CHECK0(pthread_mutex_lock(&shared->lock));
        while (shared->value % 2 != (child == 0))
            CHECK0(pthread_cond_wait(&shared->changed, &shared->lock));
        shared->value++;
        CHECK0(pthread_cond_signal(&shared->changed));
        CHECK0(pthread_mutex_unlock(&shared->lock));
    }
    if (child == 0)
        _exit(0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    printf("%d\n", shared->value);
}

int main(void)
{
    char name[] = "/tmp/memory-shared-XXXXXX";
    shared_use(-1);
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && ftruncate(fd, 4096) == 0);
    fflush(stdout);
    shared_use(fd);
    return 0;
}
