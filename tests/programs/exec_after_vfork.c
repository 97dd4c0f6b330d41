/* vfork, then exec: the child runs another program, the parent goes on with its memory as it was.
 */
#include <sys/wait.h>

#include "behaviour.h"

int main(void)
{
    char *const good[] = {"sh", "-c", "exit 5", NULL}, *const environment[] = {NULL};
    for (volatile int i = 0; i < 8; i++) {
        volatile int before = i;
        pid_t child = vfork();
        if (child == 0) {
            if (i % 2)
                execve("/nowhere/at/all", good, environment);
            else
                execve("/bin/sh", good, environment);
            _exit(errno == ENOENT ? 7 : 8);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (i % 2 ? 7 : 5));
        CHECK(before == i);
    }
    puts("done");
    return 0;
}
