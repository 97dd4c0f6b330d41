/*
 * The operations of syscall/patch.h over this process: /proc/self/maps, process_vm_readv,
 * /proc/self/mem. Not a test: see test_patch.c and test_patch_threads.c.
 */
#include <asm/prctl.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/unit/patch_world.h"

#define MAPPINGS_MAX 512

struct mapping {
    uint64_t start, end, object_start, object_end;
    bool executable;
    char path[128];
};

static struct mapping mappings[MAPPINGS_MAX];
static unsigned mapping_count;
static bool told_concurrent, no_room;
static int memory = -1;
static pid_t own_pid;
static _Atomic uint64_t traps;

void world_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512], permissions[5];
    mapping_count = 0;
    while (file && fgets(line, sizeof line, file) && mapping_count < MAPPINGS_MAX) {
        struct mapping *mapping = &mappings[mapping_count];
        memset(mapping, 0, sizeof *mapping);
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %127s", &mapping->start, &mapping->end, permissions, mapping->path) <
            3)
            continue;
        mapping->executable = permissions[2] == 'x';
        if (mapping->path[0] == '/') {
            mapping->object_start = mapping->start;
            const struct mapping *before = mapping_count ? mapping - 1 : NULL;
            if (before && strcmp(before->path, mapping->path) == 0 && before->end == mapping->start)
                mapping->object_start = before->object_start;
        }
        mapping_count++;
    }
    if (file)
        fclose(file);
}

static bool world_mapping(uint64_t address, uint64_t *start, uint64_t *end, uint64_t *object_start,
                          uint64_t *object_end)
{
    for (unsigned i = 0; i < mapping_count; i++) {
        if (address < mappings[i].start || address >= mappings[i].end || !mappings[i].executable)
            continue;
        *start = mappings[i].start;
        *end = mappings[i].end;
        *object_start = mappings[i].object_start;
        *object_end = mappings[i].end;
        return true;
    }
    return false;
}

static size_t world_read(uint64_t address, void *bytes, size_t size)
{
    struct iovec here = {bytes, size}, there = {(void *)address, size};
    ssize_t count = syscall(SYS_process_vm_readv, own_pid, &here, 1, &there, 1, 0);
    return count < 0 ? 0 : (size_t)count;
}

static int world_write(uint64_t address, const void *bytes, size_t size)
{
    return pwrite(memory, bytes, size, (off_t)address) == (ssize_t)size ? 0 : -5;
}

static uint64_t page_at(uint64_t address)
{
    void *page =
        mmap((void *)address, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return page == MAP_FAILED ? 0 : (uint64_t)page;
}

/* Pages in a row, 128 MiB away from the first object that asks; anew when an object is not in reach
 * of them. */
static uint64_t world_stub_page(uint64_t start, uint64_t end)
{
    static uint64_t next;
    const uint64_t reach = 0x70000000;
    if (no_room)
        return 0;
    if (next == 0 || (next > start ? next - start : end - next) > reach)
        next = end + 0x8000000;
    for (; next - start < reach; next += 4096) {
        uint64_t page = page_at(next);
        if (page) {
            next += 4096;
            return page;
        }
    }
    return 0;
}

static bool world_concurrent(void)
{
    return told_concurrent;
}

static void trap(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    uint64_t resume;
    (void)info;
    if (!patch_trap((uint64_t)context->uc_mcontext.gregs[REG_RIP] - 1, &resume)) {
        signal = SIGABRT;
        abort();
    }
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)resume;
    atomic_fetch_add(&traps, 1);
    (void)signal;
}

void world_start(bool concurrent)
{
    static const struct patch_operations operations = {
        world_mapping, world_read, world_write, world_stub_page, world_concurrent,
    };
    struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    told_concurrent = concurrent;
    own_pid = getpid();
    if (memory < 0)
        memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    sigaction(SIGTRAP, &action, NULL);
    world_mappings();
    patch_initialise(&operations, WORLD_ENTRY_OFFSET);
}

void world_thread(struct fake_thread *thread)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    memset(thread, 0, sizeof *thread);
    thread->self = thread;
    thread->entry = fake_entry;
    syscall(SYS_arch_prctl, ARCH_SET_GS, thread);
    sigaltstack(&stack, NULL);
}

void world_no_room(bool yes)
{
    no_room = yes;
}

uint64_t world_traps(void)
{
    return atomic_load(&traps);
}
