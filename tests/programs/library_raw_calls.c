/* Calls made by the instructions of a library that is loaded, unloaded and loaded again by dlopen
 * are caught. */
#include <dlfcn.h>
#include <libgen.h>

#include "behaviour.h"

int main(void)
{
    char path[4096], library[8192];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    CHECK(length > 0);
    path[length] = 0;
    snprintf(library, sizeof library, "%s/libraries/raw_calls.so", dirname(path));
    for (int i = 0; i < 4; i++) {
        void *handle = dlopen(library, i % 2 ? RTLD_LAZY : RTLD_NOW);
        CHECK(handle != NULL);
        long (*call)(long) = (long (*)(long))dlsym(handle, "library_call");
        CHECK(call != NULL);
        for (int j = 0; j < OFTEN; j++) {
            CHECK(call(SYS_getpid) == getpid());
            CHECK(call(100000) == -ENOSYS);
        }
        CHECK(dlclose(handle) == 0);
    }
    puts("caught");
    return 0;
}
