/* A call keeps the vector registers, whole, and the rounding modes. */
#include <stdint.h>

#include "behaviour.h"

#define BYTES (16 * 32)

__attribute__((target("avx"))) static long call_avx(long number, long a, long b, const uint8_t *before, uint8_t *after)
{
    long result;
    __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "vmovdqu \\n * 32(%[before]), %%ymm\\n\n\t"
                     ".endr\n\t"
                     "syscall\n\t"
                     ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "vmovdqu %%ymm\\n, \\n * 32(%[after])\n\t"
                     ".endr\n\t"
                     "vzeroupper"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(0), [before] "r"(before), [after] "r"(after)
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

static long call_sse(long number, long a, long b, const uint8_t *before, uint8_t *after)
{
    long result;
    __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "movdqu \\n * 32(%[before]), %%xmm\\n\n\t"
                     ".endr\n\t"
                     "syscall\n\t"
                     ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\t"
                     "movdqu %%xmm\\n, \\n * 32(%[after])\n\t"
                     ".endr\n\t"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(0), [before] "r"(before), [after] "r"(after)
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

int main(void)
{
    uint8_t before[BYTES], after[BYTES];
    char path[256];
    const long calls[][3] = {{SYS_getpid, 0, 0},    {SYS_getcwd, (long)path, sizeof path},
                             {SYS_close, -1, 0},    {SYS_access, (long)"/proc/self/maps", 0},
                             {SYS_munmap, 4096, 0}, {SYS_sched_yield, 0, 0},
                             {100000, 0, 0}};
    uint32_t control = 0x1f80 | 0x6000, seen; /* round to zero */
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
    for (int round = 0; round < OFTEN; round++) {
        for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
            for (unsigned j = 0; j < BYTES; j++)
                before[j] = after[j] = (uint8_t)(j * 7 + i + (unsigned)round);
            memset(after, 0, sizeof after);
            if (__builtin_cpu_supports("avx")) {
                call_avx(calls[i][0], calls[i][1], calls[i][2], before, after);
            } else {
                call_sse(calls[i][0], calls[i][1], calls[i][2], before, after);
                for (unsigned j = 0; j < BYTES; j += 32)
                    memcpy(after + j + 16, before + j + 16, 16);
            }
            CHECK(memcmp(before, after, BYTES) == 0);
            __asm__ volatile("stmxcsr %0" : "=m"(seen));
            CHECK((seen & 0xffc0) == control);
        }
    }
    puts("kept");
    return 0;
}
