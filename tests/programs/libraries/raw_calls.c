/* A library whose functions make calls by their own instructions, for library_raw_calls.c. */
#include "../behaviour.h"

__attribute__((visibility("default"))) long library_call(long number);
__attribute__((visibility("default"))) long library_call(long number)
{
    return raw_call(number, 0, 0, 0, 0, 0, 0);
}

__attribute__((constructor)) static void start(void)
{
    for (int i = 0; i < OFTEN; i++)
        CHECK(raw_call(100000, 0, 0, 0, 0, 0, 0) == -ENOSYS);
}
