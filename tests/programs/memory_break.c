/* The break grows by zeroed memory, shrinks, and grows again zeroed; a limit that is too high
 * changes nothing. */
#include "behaviour.h"

int main(void)
{
    char *start = (char *)raw_call(SYS_brk, 0, 0, 0, 0, 0, 0);
    char *wanted = (char *)(((unsigned long)start + 4095) & ~4095ul) + (1 << 20);
    for (int round = 0; round < 3; round++) {
        CHECK((char *)raw_call(SYS_brk, (long)wanted, 0, 0, 0, 0, 0) == wanted);
        CHECK((char *)raw_call(SYS_brk, 0, 0, 0, 0, 0, 0) == wanted);
        for (char *at = start; at < wanted; at += 512) {
            CHECK(*at == 0 || at < (char *)(((unsigned long)start + 4095) & ~4095ul));
            *at = 7;
        }
        CHECK((char *)raw_call(SYS_brk, (long)start, 0, 0, 0, 0, 0) == start);
    }
    CHECK((char *)raw_call(SYS_brk, 0x7fffffffffff, 0, 0, 0, 0, 0) == start);
    CHECK((char *)raw_call(SYS_brk, 1, 0, 0, 0, 0, 0) == start);
    char *more = sbrk(5000);
    CHECK(more != (void *)-1);
    memset(more, 1, 5000);
    CHECK(sbrk(0) == more + 5000 && sbrk(-5000) == more + 5000);
    puts("grown");
    return 0;
}
