/* malloc and free by many threads, blocks freed by another thread than made them; fork in between.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

#define SLOTS 32

static void *_Atomic slots[SLOTS];

static void *run(void *argument)
{
    unsigned seed = (unsigned)(long)argument;
    for (int i = 0; i < 1500; i++) {
        seed = seed * 1103515245u + 12345u;
        size_t size = 16 + (seed >> 16) % (i % 50 ? 600 : 200000);
        unsigned char *block = malloc(size);
        memset(block, (int)(size & 0xff), size);
        memcpy(block, &size, sizeof size);
        block = __atomic_exchange_n((void **)&slots[seed % SLOTS], block, __ATOMIC_ACQ_REL);
        if (block) {
            memcpy(&size, block, sizeof size);
            CHECK(block[size - 1] == (size & 0xff) || size < 16);
            free(block);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
    for (long i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, (void *)(i + 1)));
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            run((void *)9l);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    puts("all freed once");
    return 0;
}
