/* Names of threads: prctl, pthread_setname_np and /proc agree, for oneself and for threads on other
 * nodes. */
#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>

#include "behaviour.h"

static sem_t named, read_back;
static _Atomic int identity;

static void *run(void *unused)
{
    char name[17] = "";
    CHECK(prctl(PR_SET_NAME, "worker-with-a-long-name") == 0);
    CHECK(prctl(PR_GET_NAME, name) == 0);
    puts(name);
    identity = gettid();
    sem_post(&named);
    sem_wait(&read_back);
    CHECK(prctl(PR_GET_NAME, name) == 0);
    puts(name);
    return unused;
}

int main(void)
{
    pthread_t thread;
    char name[32], path[64];
    sem_init(&named, 0, 0);
    sem_init(&read_back, 0, 0);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    sem_wait(&named);
    CHECK0(pthread_getname_np(thread, name, sizeof name));
    puts(name);
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", identity);
    FILE *file = fopen(path, "r");
    CHECK(file && fgets(name, sizeof name, file) && fclose(file) == 0);
    fputs(name, stdout);
    CHECK0(pthread_setname_np(thread, "renamed"));
    sem_post(&read_back);
    CHECK0(pthread_join(thread, NULL));
    CHECK0(pthread_getname_np(pthread_self(), name, sizeof name));
    puts(name);
    return 0;
}
