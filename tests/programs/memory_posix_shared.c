/* shm_open and memfd: common memory by a name and without one, grown while it is mapped, sealed. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *map)
{
    for (int i = 0; i < 1000; i++)
        ++*(_Atomic int *)map;
    return NULL;
}

int main(void)
{
    char name[32];
    pthread_t thread;
    int status;
    snprintf(name, sizeof name, "/behaviour-%d", getpid());
    int named = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600), memory = memfd_create("x", MFD_ALLOW_SEALING);
    CHECK(named >= 0 && memory >= 0 && shm_unlink(name) == 0);
    const int descriptors[] = {named, memory};
    for (int i = 0; i < 2; i++) {
        CHECK(ftruncate(descriptors[i], 4096) == 0);
        char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, descriptors[i], 0);
        CHECK(map != MAP_FAILED);
        CHECK0(pthread_create(&thread, NULL, run, map));
        pid_t child = fork();
        if (child == 0) {
            run(map);
            _exit(0);
        }
        CHECK0(pthread_join(thread, NULL));
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(ftruncate(descriptors[i], 8192) == 0);
        map[8191] = 1;
        printf("%d\n", *(int *)map);
        CHECK(munmap(map, 8192) == 0);
    }
    CHECK(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_WRITE) == 0 && ftruncate(memory, 0) == -1 &&
          errno == EPERM);
    CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED && errno == EPERM);
    return 0;
}
