/* A program that is started with an empty environment and no arguments to speak of runs, and sees
 * it empty. */
#include "behaviour.h"

extern char **environ;

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        CHECK(environ[0] == NULL && getenv("PATH") == NULL);
        for (int i = 0; i < OFTEN; i++)
            CHECK(raw_call(100000, 0, 0, 0, 0, 0, 0) == -ENOSYS);
        printf("%d arguments, no environment\n", argc);
        return 0;
    }
    char *const arguments[] = {"another name", "again", "third", NULL}, *const environment[] = {NULL};
    execve("/proc/self/exe", arguments, environment);
    return 1;
}
