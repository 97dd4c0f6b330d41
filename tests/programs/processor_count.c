/* sysconf, sched_getaffinity and /proc/cpuinfo agree about the number of processors. */
#include <sched.h>

#include "behaviour.h"

int main(void)
{
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    long affinity = CPU_COUNT(&set), online = sysconf(_SC_NPROCESSORS_ONLN);
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[4096];
    long listed = 0;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        listed += strncmp(line, "processor\t", 10) == 0;
    fclose(file);
    CHECK(affinity >= 1 && online >= affinity);
    CHECK(listed == online);
    puts("agree");
    return 0;
}
