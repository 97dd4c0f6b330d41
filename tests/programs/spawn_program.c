/* posix_spawn: a program that is not there is reported at once with ENOENT; one that is there runs
 * with its files. */
#include <spawn.h>
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    char *const none[] = {"none", NULL}, *const words[] = {"sh", "-c", "read line; echo \"got $line\"; exit 3", NULL};
    char *const environment[] = {"PATH=/bin:/usr/bin", NULL};
    pid_t child;
    CHECK(posix_spawn(&child, "/nowhere/none", NULL, NULL, none, environment) == ENOENT);
    CHECK(posix_spawnp(&child, "no-such-program", NULL, NULL, none, environment) == ENOENT);
    CHECK(posix_spawn(&child, "/", NULL, NULL, none, environment) == EACCES);
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);

    int to[2], from[2];
    CHECK(pipe(to) == 0 && pipe(from) == 0);
    posix_spawn_file_actions_t actions;
    CHECK0(posix_spawn_file_actions_init(&actions));
    CHECK0(posix_spawn_file_actions_adddup2(&actions, to[0], 0));
    CHECK0(posix_spawn_file_actions_adddup2(&actions, from[1], 1));
    CHECK0(posix_spawn_file_actions_addclose(&actions, to[1]));
    CHECK0(posix_spawn_file_actions_addclose(&actions, from[0]));
    CHECK0(posix_spawn(&child, "/bin/sh", &actions, NULL, words, environment));
    close(to[0]);
    close(from[1]);
    CHECK(write(to[1], "a line\n", 7) == 7);
    char answer[64] = "";
    size_t size = 0;
    ssize_t count;
    while ((count = read(from[0], answer + size, sizeof answer - 1 - size)) > 0)
        size += (size_t)count;
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
    fputs(answer, stdout);
    return 0;
}
