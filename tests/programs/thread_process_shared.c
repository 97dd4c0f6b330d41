/* Mutex, condition and barrier in shared memory between processes that have threads on several
 * nodes; one dies holding. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static struct common {
    pthread_mutex_t mutex, robust;
    pthread_barrier_t barrier;
    long counter;
} * common;

static void *run(void *unused)
{
    pthread_barrier_wait(&common->barrier);
    for (int i = 0; i < 500; i++) {
        CHECK0(pthread_mutex_lock(&common->mutex));
        common->counter++;
        CHECK0(pthread_mutex_unlock(&common->mutex));
    }
    return unused;
}

static void two_threads(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
}

int main(void)
{
    pthread_mutexattr_t attributes;
    pthread_barrierattr_t barrier;
    int status;
    common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(common != MAP_FAILED);
    CHECK0(pthread_mutexattr_init(&attributes));
    CHECK0(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    CHECK0(pthread_mutex_init(&common->mutex, &attributes));
    CHECK0(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    CHECK0(pthread_mutex_init(&common->robust, &attributes));
    CHECK0(pthread_barrierattr_init(&barrier));
    CHECK0(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED));
    CHECK0(pthread_barrier_init(&common->barrier, &barrier, 4));
    pid_t child = fork();
    if (child == 0) {
        two_threads();
        CHECK0(pthread_mutex_lock(&common->robust));
        _exit(0);
    }
    two_threads();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(pthread_mutex_lock(&common->robust) == EOWNERDEAD);
    CHECK0(pthread_mutex_consistent(&common->robust));
    child = fork();
    if (child == 0)
        execl("/bin/true", "true", NULL);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK0(pthread_mutex_unlock(&common->robust));
    printf("%ld\n", common->counter);
    return 0;
}
