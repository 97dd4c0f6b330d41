/* System V shared memory: attached twice, by a child, removed while in use; threads on several
 * nodes count in it. */
#include <pthread.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "behaviour.h"

static _Atomic long *counter;

static void *run(void *unused)
{
    for (int i = 0; i < 1000; i++)
        ++*counter;
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    struct shmid_ds status;
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600), result;
    CHECK(id >= 0);
    counter = shmat(id, NULL, 0);
    volatile long *again = shmat(id, NULL, SHM_RDONLY);
    CHECK(counter != (void *)-1 && again != (void *)-1 && (void *)counter != (void *)again);
    pid_t child = fork();
    if (child == 0) {
        run(NULL);
        _exit(0);
    }
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(waitpid(child, &result, 0) == child && result == 0);
    CHECK(shmctl(id, IPC_STAT, &status) == 0 && status.shm_nattch == 2 && status.shm_segsz == 8192);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmdt((void *)counter) == 0);
    printf("%ld\n", *again);
    CHECK(shmdt((void *)again) == 0 && shmdt((void *)again) == -1 && errno == EINVAL);
    CHECK(shmat(id, NULL, 0) == (void *)-1);
    return 0;
}
