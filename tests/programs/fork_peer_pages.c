/* fork: the child sees what threads on other nodes have written, exactly as it was at that moment.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

#define PAGES 64

static volatile unsigned char memory[2][PAGES * 4096];
static pthread_barrier_t barrier;

static void *run(void *argument)
{
    volatile unsigned char *own = memory[(long)argument];
    for (int round = 1; round <= 5; round++) {
        for (int i = 0; i < PAGES * 4096; i += 64)
            own[i] = (unsigned char)(round + i / 4096);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    CHECK0(pthread_barrier_init(&barrier, NULL, 3));
    for (long i = 0; i < 2; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)i));
    for (int round = 1; round <= 5; round++) {
        pthread_barrier_wait(&barrier);
        pid_t child = fork();
        if (child == 0) {
            usleep(5000); /* the parent's threads go on writing meanwhile */
            for (int i = 0; i < PAGES * 4096; i += 64)
                for (int j = 0; j < 2; j++)
                    if (memory[j][i] != (unsigned char)(round + i / 4096))
                        _exit(1);
            memory[0][0] = 99;
            _exit(0);
        }
        pthread_barrier_wait(&barrier);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK0(pthread_join(threads[i], NULL));
    CHECK(memory[0][0] == 5);
    puts("the same");
    return 0;
}
