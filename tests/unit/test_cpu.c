/*
 * What processors offer: probing this one, comparing any two.
 * links: runtime/cpu.c
 */
#include <check.h>
#include <cpuid.h>
#include <stdio.h>
#include <string.h>

#include "runtime/channel.h"

static struct wire_cpu cpu;

static void set_up(void)
{
    memset(&cpu, 0xff, sizeof cpu);
    wire_cpu_probe(&cpu);
}

START_TEST(test_probe)
{
    ck_assert(cpu.leaf1_edx & bit_SSE2);
    ck_assert(cpu.ext1_edx & bit_LM);
    ck_assert_uint_eq(cpu.reserved, 0);
    ck_assert_uint_eq(cpu.xcr0 & 3, 3);
    ck_assert_uint_ge(cpu.xsave_bytes, 576);
    ck_assert_uint_le(cpu.xsave_bytes, WIRE_XSAVE_BYTES_MAX);
    struct wire_cpu again;
    wire_cpu_probe(&again);
    ck_assert_mem_eq(&again, &cpu, sizeof cpu);
}
END_TEST

START_TEST(test_same)
{
    char message[WIRE_MESSAGE_BYTES] = "x";
    ck_assert_int_eq(wire_cpu_check(&cpu, &cpu, message), WIRE_OK);
    ck_assert_str_eq(message, "");
    /* More than home offers is fine. */
    struct wire_cpu all;
    memset(&all, 0xff, sizeof all);
    ck_assert_int_eq(wire_cpu_check(&cpu, &all, message), WIRE_OK);
}
END_TEST

/* One feature at a time: the name, and every word of the structure. */
static const struct {
    size_t word;
    unsigned bit;
    const char *name;
} features[] = {
    {offsetof(struct wire_cpu, leaf1_ecx), 20, "sse4_2"},
    {offsetof(struct wire_cpu, leaf1_ecx), 0, "pni"},
    {offsetof(struct wire_cpu, leaf1_edx), 26, "sse2"},
    {offsetof(struct wire_cpu, leaf7_ebx), 5, "avx2"},
    {offsetof(struct wire_cpu, leaf7_ebx), 16, "avx512f"},
    {offsetof(struct wire_cpu, leaf7_ecx), 14, "avx512_vpopcntdq"},
    {offsetof(struct wire_cpu, leaf7_edx), 25, "amx_int8"},
    {offsetof(struct wire_cpu, leaf7_1_eax), 4, "avx_vnni"},
    {offsetof(struct wire_cpu, ext1_ecx), 5, "abm"},
    {offsetof(struct wire_cpu, ext1_edx), 27, "rdtscp"},
};

START_TEST(test_missing)
{
    struct wire_cpu home = cpu, peer = cpu;
    *(uint32_t *)((char *)&home + features[_i].word) |= 1u << features[_i].bit;
    *(uint32_t *)((char *)&peer + features[_i].word) &= ~(1u << features[_i].bit);
    char message[WIRE_MESSAGE_BYTES], word[64];
    ck_assert_int_eq(wire_cpu_check(&home, &peer, message), WIRE_BAD_CPU);
    snprintf(word, sizeof word, " %s,", features[_i].name);
    ck_assert_msg(strstr(message, word), "%s", message);
    ck_assert_int_eq(wire_cpu_check(&peer, &home, message), WIRE_OK);
}
END_TEST

/* What only the kernel uses makes no difference. */
static const struct {
    size_t word;
    unsigned bit;
} ignored[] = {
    {offsetof(struct wire_cpu, leaf1_ecx), 31}, /* hypervisor */
    {offsetof(struct wire_cpu, leaf1_ecx), 24}, /* tsc_deadline_timer */
    {offsetof(struct wire_cpu, leaf1_ecx), 21}, /* x2apic */
    {offsetof(struct wire_cpu, leaf1_ecx), 5},  /* vmx */
    {offsetof(struct wire_cpu, leaf1_edx), 7},  /* mce */
    {offsetof(struct wire_cpu, leaf1_edx), 28}, /* ht */
    {offsetof(struct wire_cpu, leaf7_ebx), 1},  /* tsc_adjust */
    {offsetof(struct wire_cpu, leaf7_ebx), 20}, /* smap */
    {offsetof(struct wire_cpu, leaf7_edx), 26}, /* ibrs */
    {offsetof(struct wire_cpu, ext1_ecx), 2},   /* svm */
    {offsetof(struct wire_cpu, ext1_edx), 26},  /* pdpe1gb */
};

START_TEST(test_ignored)
{
    struct wire_cpu home = cpu, peer = cpu;
    *(uint32_t *)((char *)&home + ignored[_i].word) |= 1u << ignored[_i].bit;
    *(uint32_t *)((char *)&peer + ignored[_i].word) &= ~(1u << ignored[_i].bit);
    char message[WIRE_MESSAGE_BYTES];
    ck_assert_int_eq(wire_cpu_check(&home, &peer, message), WIRE_OK);
}
END_TEST

START_TEST(test_state)
{
    struct wire_cpu home = cpu, peer = cpu;
    home.xcr0 |= 0xe0;
    peer.xcr0 &= ~0xe0ul;
    char message[WIRE_MESSAGE_BYTES];
    ck_assert_int_eq(wire_cpu_check(&home, &peer, message), WIRE_BAD_CPU);
    ck_assert_msg(strstr(message, "avx512f"), "%s", message);
}
END_TEST

/* Every feature named here that the kernel shows, the probe shows; names are the kernel's. */
START_TEST(test_names_are_the_kernels)
{
    static char line[1 << 16];
    FILE *file = fopen("/proc/cpuinfo", "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file) && strncmp(line, "flags", 5) != 0)
        ;
    fclose(file);
    line[strcspn(line, "\n")] = ' ';
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        char word[64];
        snprintf(word, sizeof word, " %s ", features[i].name);
        uint32_t bits = *(uint32_t *)((char *)&cpu + features[i].word);
        if (strstr(line, word))
            ck_assert_msg(bits >> features[i].bit & 1, "%s", features[i].name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu");
    TCase *tests = tcase_create("cpu");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, test_probe);
    tcase_add_test(tests, test_same);
    tcase_add_loop_test(tests, test_missing, 0, (int)(sizeof features / sizeof *features));
    tcase_add_loop_test(tests, test_ignored, 0, (int)(sizeof ignored / sizeof *ignored));
    tcase_add_test(tests, test_state);
    tcase_add_test(tests, test_names_are_the_kernels);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
