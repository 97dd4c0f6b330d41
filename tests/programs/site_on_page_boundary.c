/* A syscall instruction whose two bytes lie in two pages, of writable and of read-only code, makes
 * its call. */
#include <sys/mman.h>

#include "behaviour.h"

static void boundary_check(int protection)
{
    static const unsigned char code[] = {0xb8, SYS_getppid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    /* All the ways in which these bytes can lie across the boundary. */
    for (unsigned before = 1; before < sizeof code; before++) {
        CHECK(mprotect(pages, 8192, PROT_READ | PROT_WRITE) == 0);
        unsigned char *start = pages + 4096 - before;
        memset(pages, 0xcc, 8192);
        memcpy(start, code, sizeof code);
        CHECK(mprotect(pages, 8192, protection) == 0);
        for (int i = 0; i < OFTEN; i++)
            CHECK(((long (*)(void))start)() == getppid());
    }
    CHECK(munmap(pages, 8192) == 0);
}

int main(void)
{
    boundary_check(PROT_READ | PROT_EXEC);
    boundary_check(PROT_READ | PROT_WRITE | PROT_EXEC);
    puts("called");
    return 0;
}
