/* Working directory, umask, limits and descriptors are the process's: what a thread on another node
 * changes, all see. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "behaviour.h"

static int opened;

static void *run(void *unused)
{
    struct rlimit limit = {100, 200};
    CHECK(chdir("/usr") == 0 && umask(027) == 022 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    opened = open("lib", O_RDONLY | O_DIRECTORY);
    CHECK(opened >= 0 && dup2(opened, 50) == 50);
    CHECK(setenv("CHANGED", "yes", 1) == 0);
    return unused;
}

static void *alone(void *unused)
{
    CHECK(unshare(CLONE_FS) == 0 && chdir("/") == 0);
    return unused;
}

int main(void)
{
    pthread_t thread;
    char directory[64];
    struct rlimit limit;
    struct stat first, second;
    umask(022);
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(getcwd(directory, sizeof directory));
    CHECK(umask(0) == 027 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(fstat(50, &first) == 0 && stat("/usr/lib", &second) == 0 && first.st_ino == second.st_ino);
    CHECK(dup2(opened, 100) == -1 && errno == EBADF);
    printf("%s %d %d %s\n", directory, (int)limit.rlim_cur, (int)limit.rlim_max, getenv("CHANGED"));
    CHECK0(pthread_create(&thread, NULL, alone, NULL));
    CHECK0(pthread_join(thread, NULL));
    CHECK(getcwd(directory, sizeof directory));
    puts(directory);
    return 0;
}
