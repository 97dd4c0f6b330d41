/* posix_spawn with file actions, signal mask and defaults, process group; its errors come back to
 * the caller. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "behaviour.h"

extern char **environ;

static void *run(void *unused)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t set;
    int ends[2], status;
    char text[256];
    CHECK(pipe(ends) == 0);
    CHECK0(posix_spawn_file_actions_init(&actions));
    CHECK0(posix_spawn_file_actions_adddup2(&actions, ends[1], 1));
    CHECK0(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0));
    CHECK0(posix_spawn_file_actions_addchdir_np(&actions, "/usr"));
    CHECK0(posix_spawnattr_init(&attributes));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK0(posix_spawnattr_setsigmask(&attributes, &set));
    CHECK0(posix_spawnattr_setpgroup(&attributes, 0));
    CHECK0(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP));
    char *arguments[] = {"sh", "-c",
                         "pwd; grep SigBlk /proc/$$/status; ps -o pgid= -p $$ | grep -q \" *$$\\$\" || cut -d' ' "
                         "-f5 /proc/$$/stat | grep -qx $$ && echo leader; cat",
                         NULL};
    pid_t child;
    CHECK0(posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environ));
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], text + used, sizeof text - 1 - used)) > 0; used += (size_t)got)
        ;
    text[used] = 0;
    fputs(text, stdout);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(posix_spawn(&child, "/nowhere", NULL, NULL, arguments, environ) == ENOENT);
    CHECK0(posix_spawn_file_actions_addopen(&actions, 5, "/nowhere/x", O_RDONLY, 0));
    CHECK(posix_spawn(&child, "/bin/sh", &actions, NULL, arguments, environ) == ENOENT);
    CHECK0(posix_spawnp(&child, "true", NULL, NULL, (char *[]){"true", NULL}, environ));
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return unused;
}

int main(void)
{
    pthread_t thread;
    CHECK0(pthread_create(&thread, NULL, run, NULL));
    CHECK0(pthread_join(thread, NULL));
    return 0;
}
