/* Code that one thread writes and threads on other nodes execute, changed again and again: on RWX
 * pages and on W^X ones. */
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

static unsigned char *code;
static pthread_barrier_t barrier;
static _Atomic long sum;

static void emit(int value)
{
    const unsigned char text[] = {0xb8, (unsigned char)value, 0, 0, 0, 0xc3}; /* mov $value, %eax; ret */
    memcpy(code, text, sizeof text);
}

static void *run(void *unused)
{
    for (int i = 0; i < 40; i++) {
        pthread_barrier_wait(&barrier);
        __asm__ volatile("cpuid" : : "a"(0) : "rbx", "rcx", "rdx", "memory");
        sum += ((int (*)(void))(void *)code)();
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(code != MAP_FAILED);
    CHECK0(pthread_barrier_init(&barrier, NULL, 4));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 40; i++) {
        if (i >= 20)
            CHECK(mprotect(code, 4096, PROT_READ | PROT_WRITE) == 0);
        emit(i);
        if (i >= 20)
            CHECK(mprotect(code, 4096, PROT_READ | PROT_EXEC) == 0);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    printf("%ld\n", sum);
    return 0;
}
