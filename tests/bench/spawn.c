/*
 * The time to start a program and to wait for its end, in nanoseconds, the median: spawn COUNT
 * PROGRAM ARGS... The program's output goes to /dev/null; one that fails ends the bench.
 */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "median.h"

extern char **environ;

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[1]) : 0;
    if (count < 1) {
        fprintf(stderr, "usage: spawn COUNT PROGRAM ARGS...\n");
        return 2;
    }
    uint64_t *times = calloc((size_t)count, sizeof *times);
    check(times != NULL, "calloc");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < count; i++) {
        uint64_t start = now_ns();
        pid_t child;
        int status, error = posix_spawnp(&child, argv[2], &actions, NULL, argv + 2, environ);
        if (error != 0) {
            fprintf(stderr, "spawn: %s: %s\n", argv[2], strerror(error));
            return 127;
        }
        check(waitpid(child, &status, 0) == child, "waitpid");
        times[i] = now_ns() - start;
        if (status != 0) {
            fprintf(stderr, "spawn: %s ended with wait status 0x%x\n", argv[2], (unsigned)status);
            return 1;
        }
    }
    printf("%.1f\n", (double)median(times, (size_t)count));
    return 0;
}
