/* uname, sysinfo, getrandom, limits, sysconf and host name are answered on every node, and are the
 * machine's. */
#include <pthread.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "behaviour.h"

static void *run(void *unused)
{
    struct utsname names;
    struct sysinfo information;
    struct rlimit limit, other;
    char host[256];
    unsigned char random[64] = {0};
    int different = 0;
    CHECK(uname(&names) == 0 && strcmp(names.sysname, "Linux") == 0 && strcmp(names.machine, "x86_64") == 0);
    CHECK(gethostname(host, sizeof host) == 0 && strcmp(host, names.nodename) == 0);
    CHECK(sysinfo(&information) == 0 && information.totalram > 0 && information.uptime > 0);
    CHECK(getrandom(random, sizeof random, 0) == sizeof random);
    for (int i = 1; i < 64; i++)
        different += random[i] != random[0];
    CHECK(different > 10);
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0 && prlimit(0, RLIMIT_STACK, NULL, &other) == 0 &&
          limit.rlim_cur == other.rlim_cur);
    CHECK(sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_NPROCESSORS_ONLN) == get_nprocs() &&
          sysconf(_SC_CLK_TCK) == 100);
    return unused;
}

int main(void)
{
    pthread_t thread;
    run(NULL);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    puts("told");
    return 0;
}
