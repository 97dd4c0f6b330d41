/* Code that is written first and made executable afterwards, again and again at the same address,
 * is caught. */
#include <sys/mman.h>

#include "behaviour.h"

int main(void)
{
    static const unsigned char code[] = {0x48, 0xc7, 0xc0, 0,    0,    0,    0,    0x0f,
                                         0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0xc3};
    static const int numbers[] = {SYS_getpid, SYS_getppid, SYS_getuid, SYS_sched_yield};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    const long results[] = {getpid(), getppid(), getuid(), 0};
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
            memcpy(page, code, sizeof code);
            memcpy(page + 3, &numbers[i], 4);
            CHECK(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
            for (int j = 0; j < OFTEN; j++)
                CHECK(((long (*)(void))page)() == results[i]);
            CHECK(memcmp(page + 3, &numbers[i], 4) == 0 && memcmp(page + 7, code + 7, 9) == 0);
        }
    }
    puts("caught");
    return 0;
}
