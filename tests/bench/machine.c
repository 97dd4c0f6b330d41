/*
 * What this machine's kernel takes for the steps that a session is made of, each alone and on one processor unless it
 * says otherwise: what no protocol can be faster than. Natively, without ld-span. Usage: machine. Prints `NAME
 * NANOSECONDS`, medians.
 */
#include <cpuid.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "median.h"

#define PAGE  4096u
#define TIMES 500u

static uint64_t times[TIMES];
static int userfault;
static char *memory, *contents;

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

static void measure(const char *name, void (*step)(unsigned i))
{
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t start = now_ns();
        step(i);
        times[i] = now_ns() - start;
    }
    printf("%-28s %8lu\n", name, (unsigned long)median(times, TIMES));
}

static void call(unsigned i)
{
    (void)i;
    syscall(SYS_getppid);
}

static void cpuid(unsigned i)
{
    unsigned a, b, c, d;
    (void)i;
    __cpuid(0, a, b, c, d);
    (void)a, (void)b, (void)c, (void)d;
}

static void set_fs(unsigned i)
{
    (void)i;
    syscall(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, __builtin_thread_pointer());
}

static void skip(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
}

static void nothing(int signal)
{
    (void)signal;
}

static void sent_signal(unsigned i)
{
    (void)i;
    raise(SIGUSR1);
}

static void exception(unsigned i)
{
    (void)i;
    __asm__ volatile("ud2");
}

static void install(unsigned i)
{
    struct uffdio_copy copy = {.dst = (uint64_t)memory + i * PAGE, .src = (uint64_t)contents, .len = PAGE};
    check(ioctl(userfault, UFFDIO_COPY, &copy) == 0, "UFFDIO_COPY");
}

static void touch(unsigned i)
{
    *(volatile char *)(memory + i * PAGE);
}

static void protect(unsigned i)
{
    struct uffdio_writeprotect request = {.range = {(uint64_t)memory + i * PAGE, PAGE},
                                          .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    check(ioctl(userfault, UFFDIO_WRITEPROTECT, &request) == 0, "UFFDIO_WRITEPROTECT");
}

static void discard(unsigned i)
{
    check(madvise(memory + i * PAGE, PAGE, MADV_DONTNEED) == 0, "madvise");
}

static void *answer_faults(void *unused)
{
    struct uffd_msg message;
    while (read(userfault, &message, sizeof message) == sizeof message)
        install((unsigned)((message.arg.pagefault.address - (uint64_t)memory) / PAGE));
    return unused;
}

/* ---- two processors
 * -------------------------------------------------------------------------------------------------- */

static int event;
static volatile uint64_t woken_ns;
static _Atomic int stop;

static void *sleeper(void *unused)
{
    uint64_t value;
    pin(0);
    while (read(event, &value, sizeof value) == sizeof value && !stop)
        woken_ns = now_ns();
    return unused;
}

static void *busy(void *unused)
{
    pin(0);
    while (!stop)
        ;
    return unused;
}

/* From the second processor to a thread that sleeps on the first: what the waker pays, and how long it takes. */
static void wake(const char *cost, const char *latency)
{
    static uint64_t latencies[TIMES];
    for (unsigned i = 0; i < TIMES; i++) {
        uint64_t one = 1, start = now_ns();
        while (now_ns() - start < 300000)
            ;
        woken_ns = 0;
        start = now_ns();
        check(write(event, &one, sizeof one) == sizeof one, "eventfd");
        times[i] = now_ns() - start;
        while (!woken_ns)
            ;
        latencies[i] = woken_ns - start;
    }
    printf("%-28s %8lu\n", cost, (unsigned long)median(times, TIMES));
    printf("%-28s %8lu\n", latency, (unsigned long)median(latencies, TIMES));
}

int main(void)
{
    struct sigaction skips = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO}, ignores = {.sa_handler = nothing};
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    pthread_t threads[3];
    sigaction(SIGILL, &skips, NULL);
    sigaction(SIGUSR1, &ignores, NULL);
    pin(sysconf(_SC_NPROCESSORS_ONLN) > 1);
    measure("call", call);
    measure("set-fs", set_fs);
    measure("cpuid", cpuid);
    measure("signal", sent_signal);
    measure("exception-and-signal", exception);

    contents = aligned_alloc(PAGE, PAGE);
    memory = mmap(NULL, TIMES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(contents != NULL && memory != MAP_FAILED, "memory");
    memset(contents, 1, PAGE);
    userfault = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    check(userfault >= 0 && ioctl(userfault, UFFDIO_API, &api) == 0, "userfaultfd");
    struct uffdio_register range = {.range = {(uint64_t)memory, TIMES * PAGE},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
    check(ioctl(userfault, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
    measure("page-install", install);
    measure("page-first-touch", touch);
    measure("page-protect", protect);
    measure("page-discard", discard);
    check(pthread_create(&threads[0], NULL, answer_faults, NULL) == 0, "pthread_create");
    measure("fault-without-network", touch);

    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        event = eventfd(0, 0);
        check(pthread_create(&threads[1], NULL, sleeper, NULL) == 0, "pthread_create");
        sleep_us(10000);
        wake("wake-idle-processor-waker", "wake-idle-processor");
        check(pthread_create(&threads[2], NULL, busy, NULL) == 0, "pthread_create");
        sleep_us(10000);
        wake("wake-busy-processor-waker", "wake-busy-processor");
    }
    return 0;
}
