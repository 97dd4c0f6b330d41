/* Thread-local data of a library that is loaded while threads on several nodes run: each has its
 * own. */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>

#include "behaviour.h"

static pthread_barrier_t barrier;
static int *(*next)(void);
static int *places[4];

static void *run(void *argument)
{
    pthread_barrier_wait(&barrier); /* before it is loaded */
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 10; i++)
        places[(long)argument] = next();
    CHECK(*places[(long)argument] == 51);
    pthread_barrier_wait(&barrier);
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    char path[PATH_MAX], own[PATH_MAX] = "";
    CHECK(readlink("/proc/self/exe", own, sizeof own - 1) > 0);
    snprintf(path, sizeof path, "%s/libraries/thread_data.so", dirname(own));
    CHECK0(pthread_barrier_init(&barrier, NULL, 4));
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    pthread_barrier_wait(&barrier);
    void *library = dlopen(path, RTLD_NOW);
    CHECK(library && (next = (int *(*)(void))dlsym(library, "data_next")));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    places[3] = next();
    CHECK(*places[3] == 42);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            CHECK(places[i] != places[j]);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(dlclose(library) == 0);
    puts("each its own");
    return 0;
}
