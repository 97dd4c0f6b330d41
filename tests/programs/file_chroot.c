/* chroot and pivoted paths in a child: the root is another, /proc is not there, and it still works.
 * Needs root. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "behaviour.h"

static void *run(void *unused)
{
    CHECK(access("/inside", F_OK) == 0 && access("/usr", F_OK) == -1 && open("/proc/self/exe", O_RDONLY) == -1 &&
          errno == ENOENT);
    return unused;
}

int main(void)
{
    int status;
    if (geteuid() != 0)
        return 77;
    CHECK(mkdir("root", 0755) == 0 && mkdir("root/inside", 0755) == 0);
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        CHECK(chroot("root") == 0 && chdir("/") == 0);
        run(NULL);
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        CHECK0(pthread_join(thread, NULL));
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(6);
        CHECK(waitpid(grandchild, &status, 0) == grandchild && WEXITSTATUS(status) == 6);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    puts("elsewhere");
    return 0;
}
