/* setuid and its kind change every thread of the process, those on other nodes, too. Needs root. */
#include <pthread.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/wait.h>

#include "behaviour.h"

static pthread_barrier_t barrier;

static void *run(void *unused)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    uid_t real, effective, saved;
    CHECK(getresuid(&real, &effective, &saved) == 0);
    printf("%d %d %d, group %d, %d groups, %s\n", real, effective, saved, getegid(), getgroups(0, NULL),
           access("/root/x", F_OK) == -1 && errno == EACCES ? "may not" : "may");
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    if (geteuid() != 0)
        return 77;
    gid_t groups[2] = {5, 6};
    CHECK0(pthread_barrier_init(&barrier, NULL, 4));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    pthread_barrier_wait(&barrier);
    CHECK(setgroups(2, groups) == 0 && setresgid(1001, 1002, 1003) == 0 && setresuid(2001, 2002, 2003) == 0);
    CHECK(setuid(0) == -1 && errno == EPERM && seteuid(2003) == 0 && geteuid() == 2003);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(getuid() == 2001 ? 0 : 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return 0;
}
