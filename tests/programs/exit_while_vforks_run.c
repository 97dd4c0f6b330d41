/* The program ends while threads of it make children that share its memory: with its status, and nobody is left. */
#include <pthread.h>
#include <sys/wait.h>

#include "behaviour.h"

static char bytes[1 << 20];

static void *writes(void *unused)
{
    for (;;)
        for (size_t i = 0; i < sizeof bytes; i += 4096)
            bytes[i]++;
    return unused;
}

static void *makes_children(void *unused)
{
    for (;;) {
        pid_t child = vfork();
        if (child == 0)
            _exit(0);
        if (child > 0)
            waitpid(child, NULL, 0);
    }
    return unused;
}

int main(void)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread, NULL, i < 2 ? writes : makes_children, NULL) == 0);
    usleep(30000);
    _exit(7);
}
