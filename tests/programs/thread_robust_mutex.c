/* A robust mutex whose owner ended without unlocking tells the next one so, in this process and in
 * another. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static pthread_mutex_t *lock;

static void *lock_and_end(void *argument)
{
    CHECK0(pthread_mutex_lock(lock));
    return argument;
}

int main(void)
{
    pthread_mutexattr_t attributes;
    pthread_t thread;
    lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(lock != MAP_FAILED);
    CHECK0(pthread_mutexattr_init(&attributes));
    CHECK0(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    CHECK0(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    CHECK0(pthread_mutex_init(lock, &attributes));
    for (int i = 0; i < 5; i++) {
        CHECK0(pthread_create(&thread, NULL, lock_and_end, NULL));
        CHECK0(pthread_join(thread, NULL));
        CHECK(pthread_mutex_lock(lock) == EOWNERDEAD);
        CHECK0(pthread_mutex_consistent(lock));
        CHECK0(pthread_mutex_unlock(lock));
        pid_t child = fork();
        if (child == 0) {
            lock_and_end(NULL);
            _exit(0);
        }
        CHECK(child > 0 && waitpid(child, NULL, 0) == child);
        CHECK(pthread_mutex_lock(lock) == EOWNERDEAD);
        CHECK0(pthread_mutex_consistent(lock));
        CHECK0(pthread_mutex_unlock(lock));
    }
    puts("told");
    return 0;
}
