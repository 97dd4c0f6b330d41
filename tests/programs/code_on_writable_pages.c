/* Code that is generated on pages that are writable and executable at once, and changed while it is
 * in use, is caught. */
#include <sys/mman.h>

#include "behaviour.h"

int main(void)
{
    static const unsigned char code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
    static const int numbers[] = {SYS_getpid, SYS_getppid, SYS_getuid, 100000};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    const long results[] = {getpid(), getppid(), getuid(), -ENOSYS};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            memcpy(page, code, sizeof code);
            memcpy(page + 1, &numbers[i], 4);
            for (int j = 0; j < OFTEN; j++)
                CHECK(((long (*)(void))page)() == results[i]);
            /* Nobody may have written into it. */
            CHECK(memcmp(page + 1, &numbers[i], 4) == 0 && memcmp(page + 5, code + 5, 3) == 0);
        }
    }
    puts("caught");
    return 0;
}
