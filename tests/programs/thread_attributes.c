/* Attributes of threads: stacks of the program's own, sizes, guards, detached ones, waiting with a
 * limit. */
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <time.h>

#include "behaviour.h"

static sem_t ended;
static char *own_stack;

static void *show(void *expected)
{
    pthread_attr_t attributes;
    void *stack;
    size_t size, guard;
    char here;
    CHECK0(pthread_getattr_np(pthread_self(), &attributes));
    CHECK0(pthread_attr_getstack(&attributes, &stack, &size));
    CHECK0(pthread_attr_getguardsize(&attributes, &guard));
    CHECK(&here > (char *)stack && &here < (char *)stack + size);
    if (expected == own_stack)
        CHECK(stack == own_stack && size == 1 << 18);
    else
        CHECK(size >= (1 << 17) && size <= (1 << 17) + 8192 && guard == 8192);
    usleep(20000);
    sem_post(&ended);
    return expected;
}

int main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    struct timespec past = {1, 0};
    sem_init(&ended, 0, 0);
    own_stack = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    CHECK0(pthread_attr_init(&attributes));
    CHECK0(pthread_attr_setstacksize(&attributes, 1 << 17));
    CHECK0(pthread_attr_setguardsize(&attributes, 8000));
    CHECK0(pthread_create(&thread, &attributes, show, NULL));
    CHECK(pthread_tryjoin_np(thread, &result) == EBUSY && pthread_timedjoin_np(thread, &result, &past) == ETIMEDOUT);
    CHECK0(pthread_join(thread, &result));
    CHECK0(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED));
    CHECK0(pthread_create(&thread, &attributes, show, NULL));
    CHECK(sem_wait(&ended) == 0 && sem_wait(&ended) == 0);
    CHECK0(pthread_attr_init(&attributes));
    CHECK0(pthread_attr_setstack(&attributes, own_stack, 1 << 18));
    for (int i = 0; i < 5; i++) {
        CHECK0(pthread_create(&thread, &attributes, show, own_stack));
        CHECK0(pthread_join(thread, &result));
        CHECK(result == own_stack);
    }
    puts("as asked for");
    return 0;
}
