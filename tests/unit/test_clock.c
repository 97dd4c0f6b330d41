/*
 * The session's clocks: the vDSO as libraries read it, its functions at home and on a peer, and
 * every place where a signal can find a thread in them. links: monitor/clock.c
 * monitor/clock_quick.c monitor/clock_entry.S monitor/vdso_image.S syscall/entry.S
 */
#include <asm/prctl.h>
#include <check.h>
#include <errno.h>
#include <gelf.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <time.h>
#include <unistd.h>

#include "monitor/clock.h"
#include "monitor/thread_offsets.h"
#include "syscall/entry.h"

#define HOUR_NS   3600000000000l
#define SLACK_NS  1000000000l
#define TRAP_FLAG 0x100u
#define NS(t)     ((t).tv_sec * 1000000000l + (t).tv_nsec)

/* What the assembly wants to jump to and the tests never reach. */
void call_slow(void);
void call_pending(void);
void signal_handle(void);
void call_slow(void)
{
    abort();
}
void call_pending(void)
{
    abort();
}
void signal_handle(void)
{
    abort();
}

/* A thread as far as clocks know it, and an entry that makes the call at once and counts. */
static uint64_t fake[64];
static uint8_t monitor_stack[64 * 1024] __attribute__((aligned(64)));
void fake_entry(void);
extern unsigned long fake_calls, fake_number, fake_return;
__asm__(".text\n"
        "fake_entry:\n"
        "    incq fake_calls(%rip)\n"
        "    mov %rax, fake_number(%rip)\n"
        "    mov %rcx, fake_return(%rip)\n"
        "    movl $0, %gs:80\n" /* THREAD_PENDING: seen to */
        "    syscall\n"
        "    jmp *fake_return(%rip)\n"
        ".data\n"
        ".balign 8\n"
        "fake_calls: .quad 0\n"
        "fake_number: .quad 0\n"
        "fake_return: .quad 0\n"
        ".text\n");

static int (*vdso_gettime)(clockid_t, struct timespec *);
static int (*vdso_timeofday)(struct timeval *, void *);
static time_t (*vdso_time)(time_t *);
static int (*vdso_getres)(clockid_t, struct timespec *);
static long (*vdso_getcpu)(unsigned *, unsigned *, void *);
static char *vdso;
static size_t vdso_bytes;

static uint64_t *field(unsigned offset)
{
    return &fake[offset / 8];
}

static void *symbol_find(const char *wanted, const char **version)
{
    Elf *elf = elf_memory((char *)vdso, vdso_bytes);
    ck_assert_ptr_nonnull(elf);
    Elf_Scn *section = NULL, *symbols = NULL, *versions = NULL, *definitions = NULL;
    GElf_Shdr header, table = {0}, names = {0};
    while ((section = elf_nextscn(elf, section)) != NULL) {
        ck_assert_ptr_nonnull(gelf_getshdr(section, &header));
        ck_assert_msg(header.sh_type != SHT_RELA || header.sh_size == 0, "relocations");
        if (header.sh_type == SHT_DYNSYM) {
            symbols = section;
            table = header;
        } else if (header.sh_type == SHT_GNU_versym) {
            versions = section;
        } else if (header.sh_type == SHT_GNU_verdef) {
            definitions = section;
            names = header;
        }
    }
    ck_assert(symbols != NULL && versions != NULL && definitions != NULL);
    GElf_Sym symbol;
    void *found = NULL;
    for (int i = 1; gelf_getsym(elf_getdata(symbols, NULL), i, &symbol) != NULL && found == NULL; i++) {
        if (strcmp(elf_strptr(elf, table.sh_link, symbol.st_name), wanted) != 0)
            continue;
        GElf_Versym which;
        GElf_Verdef definition;
        GElf_Verdaux name;
        int offset = 0;
        ck_assert_ptr_nonnull(gelf_getversym(elf_getdata(versions, NULL), i, &which));
        do {
            ck_assert_ptr_nonnull(gelf_getverdef(elf_getdata(definitions, NULL), offset, &definition));
            gelf_getverdaux(elf_getdata(definitions, NULL), offset + (int)definition.vd_aux, &name);
            offset += (int)definition.vd_next;
        } while (definition.vd_ndx != which && definition.vd_next != 0);
        *version = strcmp(elf_strptr(elf, names.sh_link, name.vda_name), "LINUX_2.6") == 0 ? "LINUX_2.6" : "?";
        found = vdso + symbol.st_value;
    }
    elf_end(elf);
    return found;
}

static void *function_find(const char *name)
{
    const char *version = NULL;
    void *function = symbol_find(name, &version);
    ck_assert_msg(function != NULL, "no %s", name);
    ck_assert_str_eq(version, "LINUX_2.6");
    return function;
}

static void session_set_up(void)
{
    elf_version(EV_CURRENT);
    const void *image = vdso_image(&vdso_bytes);
    vdso = mmap(NULL, vdso_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(vdso, MAP_FAILED);
    memcpy(vdso, image, vdso_bytes);
    ck_assert_int_eq(mprotect(vdso, vdso_bytes, PROT_READ | PROT_EXEC), 0);
    vdso_gettime = function_find("__vdso_clock_gettime");
    vdso_timeofday = function_find("__vdso_gettimeofday");
    vdso_time = function_find("__vdso_time");
    vdso_getres = function_find("__vdso_clock_getres");
    vdso_getcpu = function_find("__vdso_getcpu");
}

static void thread_set_up(void)
{
    const struct clock_functions *clock = clock_functions();
    uint64_t fs;
    ck_assert_int_eq(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs), 0);
    *field(THREAD_SELF) = (uint64_t)fake;
    *field(THREAD_ENTRY) = (uint64_t)fake_entry;
    *field(THREAD_MONITOR_RSP) = (uint64_t)(monitor_stack + sizeof monitor_stack);
    *field(THREAD_APP_FS) = *field(THREAD_MONITOR_FS) = fs;
    *field(THREAD_PENDING) = 0;
    *field(THREAD_CLOCK_GETTIME) = (uint64_t)clock->clock_gettime;
    *field(THREAD_GETTIMEOFDAY) = (uint64_t)clock->gettimeofday;
    *field(THREAD_TIME) = (uint64_t)clock->time;
    *field(THREAD_CLOCK_GETRES) = (uint64_t)clock->clock_getres;
    *field(THREAD_GETCPU) = (uint64_t)clock->getcpu;
    ck_assert_int_eq(syscall(SYS_arch_prctl, ARCH_SET_GS, fake), 0);
    fake_calls = 0;
}

static int64_t native(clockid_t clock)
{
    struct timespec now;
    ck_assert_int_eq(syscall(SYS_clock_gettime, clock, &now), 0);
    return NS(now);
}

static void ahead_by(clockid_t clock, int64_t offset_ns)
{
    struct timespec now;
    int64_t before = native(clock);
    ck_assert_int_eq(vdso_gettime(clock, &now), 0);
    ck_assert(now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
    int64_t difference = NS(now) - before - offset_ns;
    /* Clocks of ticks lag behind a bit and are read later. */
    ck_assert_msg(difference >= 0 && difference < SLACK_NS, "clock %d is %ld ns off", clock, difference);
}

static const clockid_t told[] = {
    CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME, CLOCK_TAI};
#define TOLD (sizeof told / sizeof told[0])

START_TEST(libraries_can_read_the_image)
{
    session_set_up();
    ck_assert_uint_lt(vdso_bytes, 4096);
    static const char *const names[] = {"clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"};
    char prefixed[64];
    for (unsigned i = 0; i < 5; i++) {
        snprintf(prefixed, sizeof prefixed, "__vdso_%s", names[i]);
        ck_assert_ptr_eq(function_find(names[i]), function_find(prefixed));
    }
    Elf64_Ehdr *header = (Elf64_Ehdr *)vdso;
    Elf64_Phdr *segments = (Elf64_Phdr *)(vdso + header->e_phoff);
    unsigned loads = 0, frames = 0, hashes = 0;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        loads += segments[i].p_type == PT_LOAD;
        frames += segments[i].p_type == PT_GNU_EH_FRAME;
        /* The bytes of the file are the bytes in memory. */
        ck_assert_uint_eq(segments[i].p_offset, segments[i].p_vaddr);
        ck_assert_uint_eq(segments[i].p_filesz, segments[i].p_memsz);
        ck_assert_uint_le(segments[i].p_offset + segments[i].p_filesz, vdso_bytes);
        for (Elf64_Dyn *entry = (Elf64_Dyn *)(vdso + segments[i].p_offset);
             segments[i].p_type == PT_DYNAMIC && entry->d_tag != DT_NULL; entry++)
            hashes += entry->d_tag == DT_HASH || entry->d_tag == DT_GNU_HASH;
    }
    ck_assert_uint_eq(loads, 1);
    ck_assert_uint_eq(frames, 1);
    ck_assert_uint_eq(hashes, 2);
}
END_TEST

START_TEST(home_has_the_kernels_clocks)
{
    session_set_up();
    thread_set_up();
    for (unsigned i = 0; i < TOLD; i++)
        ahead_by(told[i], 0);
    struct timeval day;
    ck_assert_int_eq(vdso_timeofday(&day, NULL), 0);
    ck_assert_int_lt(labs(vdso_time(NULL) - day.tv_sec), 2);
    struct timespec resolution;
    ck_assert_int_eq(vdso_getres(CLOCK_MONOTONIC, &resolution), 0);
    ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

START_TEST(clocks_of_threads_are_calls)
{
    session_set_up();
    thread_set_up();
    ahead_by(CLOCK_PROCESS_CPUTIME_ID, 0);
    ck_assert_uint_eq(fake_number, SYS_clock_gettime);
    /* Made again, if it has to be, from a system call instruction in the image. */
    ck_assert_mem_eq((void *)(fake_return - 2), "\x0f\x05", 2);
    ck_assert(fake_return > (uint64_t)vdso && fake_return < (uint64_t)vdso + vdso_bytes);
    ahead_by(CLOCK_THREAD_CPUTIME_ID, 0);
    ck_assert_uint_eq(fake_calls, 2);
    struct timespec now;
    clockid_t dynamic = (clockid_t)(~(unsigned)getpid() << 3 | 2); /* CPU time of this process */
    ck_assert_int_eq(vdso_gettime(dynamic, &now), 0);
    ck_assert_int_eq(vdso_gettime(-1, &now), -EINVAL);
    ck_assert_uint_eq(fake_calls, 4);
}
END_TEST

START_TEST(peer_tells_homes_time)
{
    static const int64_t shifts[] = {0, 999999999, -999999999, 1, -1};
    const int64_t shift = shifts[_i];
    session_set_up();
    clock_initialise(-HOUR_NS / 60 + shift, 2 * HOUR_NS + shift, 3 * HOUR_NS - shift);
    thread_set_up();
    ahead_by(CLOCK_MONOTONIC, -HOUR_NS / 60 + shift);
    ahead_by(CLOCK_MONOTONIC_COARSE, -HOUR_NS / 60 + shift);
    ahead_by(CLOCK_MONOTONIC_RAW, -HOUR_NS / 60 + shift);
    ahead_by(CLOCK_BOOTTIME, 2 * HOUR_NS + shift);
    ahead_by(CLOCK_REALTIME, 3 * HOUR_NS - shift);
    ahead_by(CLOCK_REALTIME_COARSE, 3 * HOUR_NS - shift);
    ahead_by(CLOCK_TAI, 3 * HOUR_NS - shift);
    struct timeval day;
    int64_t wanted = native(CLOCK_REALTIME) + 3 * HOUR_NS - shift;
    ck_assert_int_eq(vdso_timeofday(&day, NULL), 0);
    ck_assert_int_lt(llabs(day.tv_sec * 1000000000l + day.tv_usec * 1000 - wanted), SLACK_NS);
    time_t seconds, stored;
    seconds = vdso_time(&stored);
    ck_assert_int_eq(seconds, stored);
    ck_assert_int_lt(labs(seconds - wanted / 1000000000), 2);
    ck_assert_uint_eq(fake_calls, 0);
    /* Home's to answer. */
    struct timespec time;
    struct timezone zone;
    unsigned processor;
    ck_assert_int_eq(vdso_getres(CLOCK_REALTIME, &time), 0);
    ck_assert_uint_eq(fake_number, SYS_clock_getres);
    ck_assert_int_eq(vdso_timeofday(&day, &zone), 0);
    ck_assert_uint_eq(fake_number, SYS_gettimeofday);
    vdso_gettime(CLOCK_REALTIME_ALARM, &time); /* not every machine has it */
    ck_assert_uint_eq(fake_number, SYS_clock_gettime);
    ck_assert_int_eq(vdso_gettime(15, &time), -EINVAL);
    ck_assert_int_eq(vdso_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    ck_assert_int_eq(vdso_getcpu(&processor, NULL, NULL), 0);
    ck_assert_uint_eq(fake_number, SYS_getcpu);
    ck_assert_uint_eq(fake_calls, 6);
}
END_TEST

START_TEST(same_kernel_needs_no_offset)
{
    session_set_up();
    clock_initialise(-80000, -81000, -82000);
    thread_set_up();
    for (unsigned i = 0; i < TOLD; i++)
        ahead_by(told[i], 0);
    ck_assert_uint_eq(fake_calls, 0);
}
END_TEST

START_TEST(processors_have_the_sessions_numbers)
{
    session_set_up();
    cpu_set_t mask;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    unsigned last = 0, count = (unsigned)CPU_COUNT(&mask), processor = 0, node = 0;
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        last = CPU_ISSET(i, &mask) ? i : last;
    clock_processors(100, count);
    thread_set_up();
    CPU_ZERO(&mask);
    CPU_SET(last, &mask);
    ck_assert_int_eq(sched_setaffinity(0, sizeof mask, &mask), 0);
    ck_assert_int_eq(vdso_getcpu(&processor, &node, NULL), 0);
    ck_assert_uint_eq(processor, 100 + count - 1);
    ck_assert_int_eq(vdso_getcpu(NULL, NULL, NULL), 0);
    ck_assert_uint_eq(fake_calls, 0);
    clock_getcpu(&processor, &node);
    ck_assert_uint_eq(processor, 100 + count - 1);
}
END_TEST

/* ---- faults and signals -------------------------------------------------------------------- */

static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    (void)info;
    if (context->uc_mcontext.gregs[REG_RIP] != (greg_t)user_copy_start)
        _exit(100 + signal);
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)user_copy_fault;
}

static void handler_set(int signal, void (*handler)(int, siginfo_t *, void *))
{
    static uint8_t stack[64 * 1024];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    ck_assert_int_eq(sigaltstack(&alternate, NULL), 0);
    ck_assert_int_eq(sigaction(signal, &action, NULL), 0);
}

START_TEST(bad_addresses_are_the_kernels_business)
{
    session_set_up();
    clock_initialise(HOUR_NS, HOUR_NS, HOUR_NS);
    clock_processors(100, 1);
    thread_set_up();
    handler_set(SIGSEGV, on_fault);
    struct timespec *nowhere = (struct timespec *)8;
    ck_assert_int_eq(vdso_gettime(CLOCK_MONOTONIC, nowhere), -EFAULT);
    ck_assert_int_eq(vdso_timeofday((struct timeval *)nowhere, NULL), -EFAULT);
    ck_assert_int_eq(vdso_time((time_t *)nowhere), -EFAULT);
    ck_assert_int_eq(vdso_getcpu((unsigned *)nowhere, NULL, NULL), -EFAULT);
    ck_assert_uint_eq(fake_calls, 4);
}
END_TEST

static unsigned step, step_wanted;
static bool stepped_in_monitor;

/* Something comes up at one instruction: in the monitor it is marked, as monitor/signal.c does; in
 * the program it is not. */
static void on_step(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    uint64_t at = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    extern const char __executable_start[], etext[], __start_program_text[], __stop_program_text[];
    bool monitor = at >= (uint64_t)__executable_start && at < (uint64_t)etext &&
                   !(at >= (uint64_t)__start_program_text && at < (uint64_t)__stop_program_text);
    (void)signal;
    (void)info;
    if (monitor && step++ == step_wanted) {
        *field(THREAD_PENDING) = 1;
        stepped_in_monitor = true;
        if (at >= (uint64_t)clock_check && at <= (uint64_t)clock_leave)
            context->uc_mcontext.gregs[REG_RIP] = (greg_t)clock_check;
    }
    if (at >= (uint64_t)fake_entry && at < (uint64_t)fake_entry + 32)
        context->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

int gettime_stepped(clockid_t clock, struct timespec *now);
__attribute__((noinline, section("program_text"))) int gettime_stepped(clockid_t clock, struct timespec *now)
{
    /* In a section of its own: the program's code, to which the handler below does nothing. */
    int result;
    __asm__ volatile("lea -256(%%rsp), %%rsp\n\t"
                     "pushfq\n\t"
                     "orq $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     "call *%3\n\t"
                     "pushfq\n\t"
                     "andq $~0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 256(%%rsp), %%rsp"
                     : "=a"(result), "+D"(clock), "+S"(now)
                     : "b"(vdso_gettime)
                     : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    return result;
}

START_TEST(nothing_pending_is_overlooked)
{
    session_set_up();
    clock_initialise(HOUR_NS, HOUR_NS, HOUR_NS);
    thread_set_up();
    handler_set(SIGTRAP, on_step);
    unsigned seen = 0;
    for (step_wanted = 0; step_wanted < 1000; step_wanted++) {
        struct timespec now = {0};
        step = 0;
        stepped_in_monitor = false;
        fake_calls = 0;
        *field(THREAD_PENDING) = 0;
        ck_assert_int_eq(gettime_stepped(CLOCK_MONOTONIC, &now), 0);
        ck_assert_int_ne(now.tv_sec, 0);
        if (!stepped_in_monitor)
            break;
        ck_assert_msg(fake_calls == 1, "overlooked at instruction %u", step_wanted);
        ck_assert_uint_eq(fake_number, SYS_clock_gettime);
        seen++;
    }
    ck_assert_uint_ge(seen, 30);
    ck_assert_uint_lt(seen, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tests = tcase_create("clock");
    tcase_add_test(tests, libraries_can_read_the_image);
    tcase_add_test(tests, home_has_the_kernels_clocks);
    tcase_add_test(tests, clocks_of_threads_are_calls);
    tcase_add_loop_test(tests, peer_tells_homes_time, 0, 5);
    tcase_add_test(tests, same_kernel_needs_no_offset);
    tcase_add_test(tests, processors_have_the_sessions_numbers);
    tcase_add_test(tests, bad_addresses_are_the_kernels_business);
    tcase_add_test(tests, nothing_pending_is_overlooked);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
