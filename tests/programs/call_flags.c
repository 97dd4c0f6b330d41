/* A call keeps the flags: carry, zero, sign, overflow, parity and direction are after it what they
 * were before. */
#include "behaviour.h"

#define FLAGS 0xcd5ul /* carry, parity, adjust, zero, sign, direction, overflow */

static unsigned long flags_after(unsigned long flags, long number)
{
    unsigned long after;
    __asm__ volatile("lea -256(%%rsp), %%rsp\n\t"
                     "push %1\n\t"
                     "popf\n\t"
                     "syscall\n\t"
                     "pushf\n\t"
                     "cld\n\t"
                     "pop %0\n\t"
                     "lea 256(%%rsp), %%rsp"
                     : "=&r"(after), "+r"(flags), "+a"(number)
                     : "D"(-1), "S"(0), "d"(0)
                     : "rcx", "r11", "memory", "cc");
    return after;
}

int main(void)
{
    static const unsigned long patterns[] = {0, 0x1, 0x40, 0x80, 0x800, 0x400, 0xcd5};
    static const long numbers[] = {SYS_getppid, SYS_close, 100000, SYS_munmap, SYS_getcwd};
    for (int round = 0; round < OFTEN; round++) {
        for (unsigned i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
            for (unsigned j = 0; j < sizeof numbers / sizeof numbers[0]; j++) {
                unsigned long after = flags_after(patterns[i] | 0x202, numbers[j]);
                CHECK((after & FLAGS) == patterns[i]);
            }
        }
    }
    puts("kept");
    return 0;
}
