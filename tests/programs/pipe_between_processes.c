/* A pipe carries a megabyte from a child to its parent, SIGPIPE and EOF included. */
#include <signal.h>
#include <sys/wait.h>

#include "behaviour.h"

#define BYTES (1 << 20)

int main(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        unsigned char *bytes = malloc(BYTES);
        for (int i = 0; i < BYTES; i++)
            bytes[i] = (unsigned char)(i * 31 + (i >> 8));
        for (int done = 0; done < BYTES;) {
            ssize_t count = write(ends[1], bytes + done, (size_t)(BYTES - done));
            CHECK(count > 0);
            done += (int)count;
        }
        _exit(0);
    }
    close(ends[1]);
    unsigned char buffer[5000];
    int done = 0;
    unsigned long sum = 0;
    ssize_t count;
    while ((count = read(ends[0], buffer, sizeof buffer)) > 0) {
        for (int i = 0; i < count; i++, done++) {
            CHECK(buffer[i] == (unsigned char)(done * 31 + (done >> 8)));
            sum += buffer[i];
        }
    }
    int status;
    CHECK(count == 0 && done == BYTES && waitpid(child, &status, 0) == child && status == 0);
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0);
    child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        CHECK(write(ends[1], "x", 1) == -1);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    printf("%d bytes, sum %lu\n", done, sum);
    return 0;
}
