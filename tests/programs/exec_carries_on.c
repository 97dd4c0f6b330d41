/* exec from a thread on another node: pid, directory, open descriptors, environment and limits are
 * carried on. */
/* args: first */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "behaviour.h"

static char **arguments;

static void *run(void *unused)
{
    char pid[16];
    struct rlimit limit = {64, 64};
    snprintf(pid, sizeof pid, "%d", getpid());
    CHECK(chdir("/usr") == 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(dup2(1, 20) == 20 && dup3(1, 21, O_CLOEXEC) == 21);
    char *environment[] = {"ONLY=this", NULL};
    execve("/proc/self/exe", (char *[]){arguments[0], "second", pid, NULL}, environment);
    return unused;
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        char directory[64];
        struct rlimit limit;
        extern char **environ;
        CHECK(atoi(argv[2]) == getpid() && gettid() == getpid() && getcwd(directory, sizeof directory));
        CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
        printf("%s %d, 20 %s, 21 %s, %s\n", directory, (int)limit.rlim_cur,
               fcntl(20, F_GETFD) == -1 ? "closed" : "open", fcntl(21, F_GETFD) == -1 ? "closed" : "open", environ[0]);
        CHECK(environ[1] == NULL);
        return 4;
    }
    pthread_t thread;
    arguments = argv;
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    return 1;
}
