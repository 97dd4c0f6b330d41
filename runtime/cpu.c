/*
 * What the processor offers to programs, and whether another one offers the same.
 * Not for what the kernel alone uses: a feature counts only when it adds instructions or state that
 * a program may have chosen, by itself or through its libraries' IFUNCs, when it started at home.
 *
 * Bits: Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E. Names:
 * arch/x86/include/asm/cpufeatures.h, as /proc/cpuinfo prints them.
 */
#include <cpuid.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/channel.h"

struct cpu_feature {
    uint16_t word; /* offset in struct wire_cpu */
    uint16_t bit;
    const char *name;
};

#define WORD(member) offsetof(struct wire_cpu, member)

static const struct cpu_feature features[] = {
    {WORD(leaf1_ecx), 0, "pni"},
    {WORD(leaf1_ecx), 1, "pclmulqdq"},
    {WORD(leaf1_ecx), 9, "ssse3"},
    {WORD(leaf1_ecx), 12, "fma"},
    {WORD(leaf1_ecx), 13, "cx16"},
    {WORD(leaf1_ecx), 19, "sse4_1"},
    {WORD(leaf1_ecx), 20, "sse4_2"},
    {WORD(leaf1_ecx), 22, "movbe"},
    {WORD(leaf1_ecx), 23, "popcnt"},
    {WORD(leaf1_ecx), 25, "aes"},
    {WORD(leaf1_ecx), 26, "xsave"},
    {WORD(leaf1_ecx), 28, "avx"},
    {WORD(leaf1_ecx), 29, "f16c"},
    {WORD(leaf1_ecx), 30, "rdrand"},

    {WORD(leaf1_edx), 0, "fpu"},
    {WORD(leaf1_edx), 4, "tsc"},
    {WORD(leaf1_edx), 8, "cx8"},
    {WORD(leaf1_edx), 15, "cmov"},
    {WORD(leaf1_edx), 19, "clflush"},
    {WORD(leaf1_edx), 23, "mmx"},
    {WORD(leaf1_edx), 24, "fxsr"},
    {WORD(leaf1_edx), 25, "sse"},
    {WORD(leaf1_edx), 26, "sse2"},

    {WORD(leaf7_ebx), 0, "fsgsbase"},
    {WORD(leaf7_ebx), 3, "bmi1"},
    {WORD(leaf7_ebx), 4, "hle"},
    {WORD(leaf7_ebx), 5, "avx2"},
    {WORD(leaf7_ebx), 8, "bmi2"},
    {WORD(leaf7_ebx), 11, "rtm"},
    {WORD(leaf7_ebx), 16, "avx512f"},
    {WORD(leaf7_ebx), 17, "avx512dq"},
    {WORD(leaf7_ebx), 18, "rdseed"},
    {WORD(leaf7_ebx), 19, "adx"},
    {WORD(leaf7_ebx), 21, "avx512ifma"},
    {WORD(leaf7_ebx), 23, "clflushopt"},
    {WORD(leaf7_ebx), 24, "clwb"},
    {WORD(leaf7_ebx), 26, "avx512pf"},
    {WORD(leaf7_ebx), 27, "avx512er"},
    {WORD(leaf7_ebx), 28, "avx512cd"},
    {WORD(leaf7_ebx), 29, "sha_ni"},
    {WORD(leaf7_ebx), 30, "avx512bw"},
    {WORD(leaf7_ebx), 31, "avx512vl"},

    {WORD(leaf7_ecx), 1, "avx512vbmi"},
    {WORD(leaf7_ecx), 4, "ospke"},
    {WORD(leaf7_ecx), 5, "waitpkg"},
    {WORD(leaf7_ecx), 6, "avx512_vbmi2"},
    {WORD(leaf7_ecx), 8, "gfni"},
    {WORD(leaf7_ecx), 9, "vaes"},
    {WORD(leaf7_ecx), 10, "vpclmulqdq"},
    {WORD(leaf7_ecx), 11, "avx512_vnni"},
    {WORD(leaf7_ecx), 12, "avx512_bitalg"},
    {WORD(leaf7_ecx), 14, "avx512_vpopcntdq"},
    {WORD(leaf7_ecx), 22, "rdpid"},
    {WORD(leaf7_ecx), 25, "cldemote"},
    {WORD(leaf7_ecx), 27, "movdiri"},
    {WORD(leaf7_ecx), 28, "movdir64b"},

    {WORD(leaf7_edx), 2, "avx512_4vnniw"},
    {WORD(leaf7_edx), 3, "avx512_4fmaps"},
    {WORD(leaf7_edx), 8, "avx512_vp2intersect"},
    {WORD(leaf7_edx), 14, "serialize"},
    {WORD(leaf7_edx), 16, "tsxldtrk"},
    {WORD(leaf7_edx), 22, "amx_bf16"},
    {WORD(leaf7_edx), 23, "avx512_fp16"},
    {WORD(leaf7_edx), 24, "amx_tile"},
    {WORD(leaf7_edx), 25, "amx_int8"},

    {WORD(leaf7_1_eax), 0, "sha512"},
    {WORD(leaf7_1_eax), 1, "sm3"},
    {WORD(leaf7_1_eax), 2, "sm4"},
    {WORD(leaf7_1_eax), 4, "avx_vnni"},
    {WORD(leaf7_1_eax), 5, "avx512_bf16"},
    {WORD(leaf7_1_eax), 7, "cmpccxadd"},
    {WORD(leaf7_1_eax), 21, "amx_fp16"},
    {WORD(leaf7_1_eax), 23, "avx_ifma"},

    {WORD(ext1_ecx), 0, "lahf_lm"},
    {WORD(ext1_ecx), 5, "abm"},
    {WORD(ext1_ecx), 6, "sse4a"},
    {WORD(ext1_ecx), 7, "misalignsse"},
    {WORD(ext1_ecx), 8, "3dnowprefetch"},
    {WORD(ext1_ecx), 11, "xop"},
    {WORD(ext1_ecx), 15, "lwp"},
    {WORD(ext1_ecx), 16, "fma4"},
    {WORD(ext1_ecx), 21, "tbm"},
    {WORD(ext1_ecx), 29, "mwaitx"},

    {WORD(ext1_edx), 11, "syscall"},
    {WORD(ext1_edx), 22, "mmxext"},
    {WORD(ext1_edx), 27, "rdtscp"},
    {WORD(ext1_edx), 29, "lm"},
    {WORD(ext1_edx), 30, "3dnowext"},
    {WORD(ext1_edx), 31, "3dnow"},
};

/* State that the kernel saves for programs (XCR0), in case it does so at home and not on the peer
 * for the same processor. */
static const struct {
    uint64_t mask;
    const char *name;
} states[] = {
    {1ul << 0 | 1ul << 1, "xsave state of sse"}, {1ul << 2, "xsave state of avx"},
    {7ul << 5, "xsave state of avx512f"},        {1ul << 9, "xsave state of ospke"},
    {3ul << 17, "xsave state of amx_tile"},      {1ul << 19, "xsave state of apx"},
};

void wire_cpu_probe(struct wire_cpu *cpu)
{
    uint32_t eax, ebx, ecx, edx;
    *cpu = (struct wire_cpu){0};
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        cpu->leaf1_ecx = ecx;
        cpu->leaf1_edx = edx;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        cpu->leaf7_ebx = ebx;
        cpu->leaf7_ecx = ecx;
        cpu->leaf7_edx = edx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
            cpu->leaf7_1_eax = eax;
    }
    if (__get_cpuid(0x80000001u, &eax, &ebx, &ecx, &edx)) {
        cpu->ext1_ecx = ecx;
        cpu->ext1_edx = edx;
    }
    if (cpu->leaf1_ecx & bit_OSXSAVE) {
        __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
        cpu->xcr0 = (uint64_t)edx << 32 | eax;
        if (__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx))
            cpu->xsave_bytes = ebx;
    }
}

enum wire_status wire_cpu_check(const struct wire_cpu *home, const struct wire_cpu *peer,
                                char message[WIRE_MESSAGE_BYTES])
{
    const char *missing = NULL;
    for (size_t i = 0; i < sizeof features / sizeof *features && !missing; i++) {
        const struct cpu_feature *feature = &features[i];
        uint32_t at_home = *(const uint32_t *)((const char *)home + feature->word);
        uint32_t at_peer = *(const uint32_t *)((const char *)peer + feature->word);
        if ((at_home & ~at_peer) >> feature->bit & 1)
            missing = feature->name;
    }
    for (size_t i = 0; i < sizeof states / sizeof *states && !missing; i++)
        if (home->xcr0 & ~peer->xcr0 & states[i].mask)
            missing = states[i].name;
    if (!missing) {
        message[0] = 0;
        return WIRE_OK;
    }
    snprintf(message, WIRE_MESSAGE_BYTES, "its processor lacks %s, which the one at home has", missing);
    return WIRE_BAD_CPU;
}
