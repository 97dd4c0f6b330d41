/*
 * Setting up the session's clocks on this node: finding the kernel's vDSO, choosing the functions.
 * Not for telling the time: monitor/clock_quick.c does.
 */
#include "monitor/clock.h"

#include <elf.h>
#include <link.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/clock_private.h"

#define SAME_KERNEL_NS 10000000 /* machines are never started this close to each other */
#define SYMBOLS_MAX    256

extern const char vdso_image_start[], vdso_image_end[];

struct clock_state clock_state;

static struct clock_functions functions;
static struct clock_functions kernel; /* the kernel's, NULL where it has none */

const void *vdso_image(size_t *bytes)
{
    *bytes = (size_t)(vdso_image_end - vdso_image_start);
    return vdso_image_start;
}

/* ---- the kernel's vDSO --------------------------------------------------------------------- */

struct vdso {
    uintptr_t base; /* what its addresses count from */
    const ElfW(Sym) * symbols;
    const char *strings;
    size_t strings_bytes;
    unsigned count;
};

/* Symbols under the GNU hash: the last chain that a bucket starts ends with the last symbol. */
static unsigned gnu_symbol_count(const uint32_t *hash)
{
    unsigned bucket_count = hash[0], first = hash[1], bloom_words = hash[2], last = 0;
    const uint32_t *buckets = hash + 4 + 2 * bloom_words, *chains = buckets + bucket_count;
    for (unsigned i = 0; i < bucket_count; i++)
        last = buckets[i] > last ? buckets[i] : last;
    if (last < first)
        return first;
    while (!(chains[last - first] & 1) && last < SYMBOLS_MAX)
        last++;
    return last + 1;
}

static bool vdso_open(struct vdso *vdso, const ElfW(Ehdr) * header)
{
    const ElfW(Phdr) *segments = (const void *)((const char *)header + header->e_phoff);
    const ElfW(Dyn) *dynamic = NULL;
    bool loaded = false;
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && !loaded) {
            vdso->base = (uintptr_t)header + segments[i].p_offset - segments[i].p_vaddr;
            loaded = true;
        } else if (segments[i].p_type == PT_DYNAMIC) {
            dynamic = (const void *)((const char *)header + segments[i].p_offset);
        }
    }
    if (!loaded || dynamic == NULL)
        return false;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const void *address = (const void *)(vdso->base + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_SYMTAB)
            vdso->symbols = address;
        else if (dynamic->d_tag == DT_STRTAB)
            vdso->strings = address;
        else if (dynamic->d_tag == DT_STRSZ)
            vdso->strings_bytes = dynamic->d_un.d_val;
        else if (dynamic->d_tag == DT_HASH)
            vdso->count = ((const uint32_t *)address)[1];
        else if (dynamic->d_tag == DT_GNU_HASH && vdso->count == 0)
            vdso->count = gnu_symbol_count(address);
    }
    if (vdso->count > SYMBOLS_MAX)
        vdso->count = SYMBOLS_MAX;
    return vdso->symbols != NULL && vdso->strings != NULL && vdso->count > 0;
}

static void *vdso_find(const struct vdso *vdso, const char *name)
{
    for (unsigned i = 1; i < vdso->count; i++) {
        const ElfW(Sym) *symbol = &vdso->symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            symbol->st_name < vdso->strings_bytes && strcmp(vdso->strings + symbol->st_name, name) == 0)
            return (void *)(vdso->base + symbol->st_value);
    }
    return NULL;
}

static void kernel_read(void)
{
    const ElfW(Ehdr) *header = (const void *)getauxval(AT_SYSINFO_EHDR);
    struct vdso vdso = {0};
    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || !vdso_open(&vdso, header))
        return;
    kernel.clock_gettime = vdso_find(&vdso, "__vdso_clock_gettime");
    kernel.gettimeofday = vdso_find(&vdso, "__vdso_gettimeofday");
    kernel.time = vdso_find(&vdso, "__vdso_time");
    kernel.clock_getres = vdso_find(&vdso, "__vdso_clock_getres");
    kernel.getcpu = vdso_find(&vdso, "__vdso_getcpu");
}

/* ---- the functions of this node ------------------------------------------------------------ */

static void *kernel_or_call(void *function)
{
    return function != NULL ? function : (void *)clock_entry_call;
}

static void functions_choose(void)
{
    if (functions.clock_gettime != NULL)
        return;
    kernel_read();
    functions = (struct clock_functions){
        .clock_gettime = kernel_or_call(kernel.clock_gettime),
        .gettimeofday = kernel_or_call(kernel.gettimeofday),
        .time = kernel_or_call(kernel.time),
        .clock_getres = kernel_or_call(kernel.clock_getres),
        .getcpu = kernel_or_call(kernel.getcpu),
    };
    clock_state.clock_gettime = (int (*)(int, struct timespec *))kernel.clock_gettime;
    clock_state.getcpu = (int (*)(unsigned *, unsigned *, void *))kernel.getcpu;
}

const struct clock_functions *clock_functions(void)
{
    functions_choose();
    return &functions;
}

void clock_initialise(int64_t monotonic_offset_ns, int64_t boottime_offset_ns, int64_t realtime_offset_ns)
{
    functions_choose();
    functions.getcpu = (void *)(clock_state.processors_known ? clock_entry_getcpu : clock_entry_call);
    if (llabs(monotonic_offset_ns) < SAME_KERNEL_NS && llabs(boottime_offset_ns) < SAME_KERNEL_NS)
        return;
    static const unsigned char realtime[] = {CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI};
    static const unsigned char monotonic[] = {CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW};
    for (unsigned i = 0; i < sizeof realtime; i++)
        clock_state.offset_ns[realtime[i]] = realtime_offset_ns;
    for (unsigned i = 0; i < sizeof monotonic; i++)
        clock_state.offset_ns[monotonic[i]] = monotonic_offset_ns;
    clock_state.offset_ns[CLOCK_BOOTTIME] = boottime_offset_ns;
    clock_state.quick = kernel.clock_gettime == NULL
                            ? 0
                            : 1u << CLOCK_REALTIME | 1u << CLOCK_REALTIME_COARSE | 1u << CLOCK_TAI |
                                  1u << CLOCK_MONOTONIC | 1u << CLOCK_MONOTONIC_COARSE | 1u << CLOCK_MONOTONIC_RAW |
                                  1u << CLOCK_BOOTTIME;
    functions.clock_gettime = (void *)clock_entry_gettime;
    functions.gettimeofday = (void *)clock_entry_timeofday;
    functions.time = (void *)clock_entry_time;
    functions.clock_getres = (void *)clock_entry_call; /* home's ticks may differ from ours */
}

/* ---- processors ---------------------------------------------------------------------------- */

static uint64_t processors_here[PROCESSORS_MAX / 64]; /* the kernel's, of this node */
static unsigned processor_first;

void clock_processors(unsigned first, unsigned count)
{
    functions_choose();
    uint64_t *mask = processors_here;
    memset(mask, 0, sizeof processors_here);
    processor_first = first;
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof processors_here, mask);
    bool same = bytes > 0 && first == 0;
    unsigned rank = 0;
    for (unsigned i = 0; i < PROCESSORS_MAX; i++) {
        bool here = bytes > 0 && (mask[i / 64] >> i % 64 & 1);
        unsigned index = here ? rank++ : i;
        clock_state.processors[i] = (uint16_t)(first + (count > 0 ? index % count : 0));
        same = same && (!here || (index == i && i < count));
    }
    clock_state.processors_known = true;
    functions.getcpu = same && kernel.getcpu != NULL ? kernel.getcpu : (void *)clock_entry_getcpu;
}

void clock_bind(pid_t tid, uint64_t processors)
{
    uint64_t mask[PROCESSORS_MAX / 64] = {0}, any = 0;
    for (unsigned i = 0; i < PROCESSORS_MAX; i++) {
        unsigned index = clock_state.processors[i] - processor_first;
        if (processors_here[i / 64] >> i % 64 & 1 && index < 64 && processors >> index & 1)
            any |= mask[i / 64] |= 1ull << i % 64;
    }
    syscall(SYS_sched_setaffinity, tid, sizeof mask, any ? mask : processors_here);
}

void clock_getcpu(unsigned *processor, unsigned *numa_node)
{
    unsigned here = 0, node = 0;
    syscall(SYS_getcpu, &here, &node, NULL);
    *processor = clock_state.processors_known && here < PROCESSORS_MAX ? clock_state.processors[here] : here;
    *numa_node = node;
}
