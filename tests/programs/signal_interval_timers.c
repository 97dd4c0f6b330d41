/* alarm and setitimer interrupt a computing thread and a sleeping one; ITIMER_PROF counts the
 * program's own time. */
#include <signal.h>
#include <sys/time.h>

#include "behaviour.h"

static volatile int hits[65];

static void handler(int signal)
{
    hits[signal]++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval every = {{0, 10000}, {0, 10000}}, off = {0}, old;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGPROF, &action, NULL) == 0 &&
          sigaction(SIGVTALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
    while (hits[SIGALRM] < 5)
        __asm__ volatile("pause");
    CHECK(sleep(10) >= 9);
    CHECK(setitimer(ITIMER_REAL, &off, &old) == 0 && old.it_interval.tv_usec == 10000);
    CHECK(setitimer(ITIMER_PROF, &every, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &every, NULL) == 0);
    while (hits[SIGPROF] < 3 || hits[SIGVTALRM] < 3)
        __asm__ volatile("pause");
    CHECK(setitimer(ITIMER_PROF, &off, NULL) == 0 && setitimer(ITIMER_VIRTUAL, &off, NULL) == 0);
    CHECK(alarm(100) == 0 && alarm(0) == 100);
    puts("all came");
    return 0;
}
