/* /proc/self/exe, argv[0], the auxiliary vector and /proc/self/maps name the program, not what
 * loaded it. */
#include <limits.h>
#include <sys/auxv.h>

#include "behaviour.h"

int main(int argc, char **argv)
{
    char exe[PATH_MAX], real[PATH_MAX], other[PATH_MAX], line[PATH_MAX + 128];
    (void)argc;
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(length > 0);
    exe[length] = 0;
    CHECK(realpath(argv[0], real) != NULL && strcmp(exe, real) == 0);
    CHECK(realpath((const char *)getauxval(AT_EXECFN), other) != NULL && strcmp(other, real) == 0);
    CHECK(strcmp(program_invocation_short_name, "self_name") == 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", getpid());
    length = readlink(path, other, sizeof other - 1);
    CHECK(length > 0 && (other[length] = 0, strcmp(other, real) == 0));
    FILE *maps = fopen("/proc/self/maps", "r");
    int found = 0;
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        line[strcspn(line, "\n")] = 0;
        CHECK(sscanf(line, "%lx-%lx", &start, &end) == 2);
        const char *name = strchr(line, '/');
        if ((unsigned long)main >= start && (unsigned long)main < end)
            found = name != NULL && strcmp(name, real) == 0;
    }
    CHECK(found);
    puts(program_invocation_short_name);
    return 0;
}
