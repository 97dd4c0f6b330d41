/* The number of a call is the lower half of its register. */
#include <stdint.h>
#include <sys/mman.h>

#include "behaviour.h"

#define UPPER 0x500000000l

int main(void)
{
    for (int i = 0; i < OFTEN; i++) {
        CHECK(raw_call(SYS_getpid | UPPER, 0, 0, 0, 0, 0, 0) == getpid());
        CHECK(raw_call(SYS_brk | UPPER, 0, 0, 0, 0, 0, 0) == raw_call(SYS_brk, 0, 0, 0, 0, 0, 0));
        long memory = raw_call(SYS_mmap | UPPER, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory > 0);
        *(volatile char *)memory = 1;
        CHECK(raw_call(SYS_munmap | UPPER, memory, 4096, 0, 0, 0, 0) == 0);
        CHECK(raw_call(SYS_close | UPPER, -1, 0, 0, 0, 0, 0) == -EBADF);
    }
    puts("as without it");
    return 0;
}
