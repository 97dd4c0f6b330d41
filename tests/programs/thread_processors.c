/* A thread that is bound to one processor, by itself or by another thread, runs there, and nowhere else, from the
 * moment the call returns. */
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "behaviour.h"

enum { THREADS = 4, ROUNDS = 6, LOOKS = 200 };

static void one(cpu_set_t *set, int cpu)
{
    CPU_ZERO(set);
    CPU_SET(cpu, set);
}

static int nth(const cpu_set_t *set, int n)
{
    for (int cpu = 0;; cpu++)
        if (CPU_ISSET(cpu, set) && n-- == 0)
            return cpu;
}

static cpu_set_t allowed;
static int count;

static void *binds_itself(void *argument)
{
    int number = (int)(long)argument;
    for (int round = 0; round < ROUNDS; round++) {
        cpu_set_t wanted;
        int cpu = nth(&allowed, (number + round) % count);
        one(&wanted, cpu);
        CHECK(sched_setaffinity(0, sizeof wanted, &wanted) == 0);
        for (int look = 0; look < LOOKS; look++)
            CHECK(sched_getcpu() == cpu);
    }
    return NULL;
}

static volatile int wanted_cpu = -1, over;

/* Waits for work in the kernel, or busily with calls that concern the thread itself. */
static void *is_bound(void *busily)
{
    uint64_t base;
    while (!over) {
        int cpu = wanted_cpu;
        if (cpu >= 0) {
            for (int look = 0; look < LOOKS; look++)
                CHECK(sched_getcpu() == cpu);
            wanted_cpu = -1;
        }
        if (busily)
            CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0);
        else
            usleep(100);
    }
    return NULL;
}

static void another_binds(void *busily)
{
    pthread_t bound;
    over = 0;
    CHECK(pthread_create(&bound, NULL, is_bound, busily) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        cpu_set_t wanted;
        int cpu = nth(&allowed, round % count);
        one(&wanted, cpu);
        CHECK(pthread_setaffinity_np(bound, sizeof wanted, &wanted) == 0);
        wanted_cpu = cpu;
        while (wanted_cpu >= 0)
            usleep(100);
    }
    over = 1;
    CHECK(pthread_join(bound, NULL) == 0);
}

int main(void)
{
    pthread_t threads[THREADS];
    CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    count = CPU_COUNT(&allowed);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, binds_itself, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    another_binds(NULL);
    another_binds(&allowed);
    puts("each where it was bound");
    return 0;
}
