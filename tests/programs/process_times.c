/* CPU clocks, times and getrusage count what the program computes, also that of its children. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>

#include "behaviour.h"

#define BURN_NS 60000000l

static long clock_ns(clockid_t clock)
{
    struct timespec now;
    CHECK(clock_gettime(clock, &now) == 0);
    return now.tv_sec * 1000000000l + now.tv_nsec;
}

static void *burn(void *unused)
{
    long start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start < BURN_NS)
        ;
    return unused;
}

static long usage_ms(int who)
{
    struct rusage usage;
    CHECK(getrusage(who, &usage) == 0);
    return usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 + usage.ru_stime.tv_sec * 1000 +
           usage.ru_stime.tv_usec / 1000;
}

int main(void)
{
    struct tms ticks;
    burn(NULL);
    CHECK(usage_ms(RUSAGE_SELF) >= 50 && usage_ms(RUSAGE_THREAD) >= 50);
    CHECK(clock_ns(CLOCK_PROCESS_CPUTIME_ID) >= BURN_NS && clock() >= BURN_NS / 1000);
    CHECK(usage_ms(RUSAGE_CHILDREN) == 0);
    pid_t child = fork();
    if (child == 0) {
        burn(NULL);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && usage_ms(RUSAGE_CHILDREN) >= 50);
    CHECK(times(&ticks) != (clock_t)-1 && ticks.tms_cutime + ticks.tms_cstime >= 4);
    puts("counted");
    return 0;
}
