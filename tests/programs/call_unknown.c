/* A call number that does not exist is answered with ENOSYS, however often it is made. */
#include "behaviour.h"

int main(void)
{
    static const long numbers[] = {100000, 511, 512, 1000, -1, 0x7fffffff};
    for (int round = 0; round < OFTEN; round++) {
        for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
            CHECK(raw_call(numbers[i], 1, 2, 3, 4, 5, 6) == -ENOSYS);
            errno = 0;
            CHECK(syscall(numbers[i]) == -1 && errno == ENOSYS);
        }
    }
    puts("ENOSYS");
    return 0;
}
