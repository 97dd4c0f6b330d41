/*
 * Builds the initial stack. Not for choosing what goes into it (ld-span_main.c).
 */
#include "ld-span/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "monitor/fatal.h"
#include "monitor/space.h"

#define RANDOM_BYTES 16u

/* What goes onto the stack, counted before anything is written. */
struct measure {
    size_t argc, envc, auxv_count;
    size_t string_bytes, vector_bytes;
};

static size_t strings_measure(char **strings, size_t *bytes)
{
    size_t count = 0;
    for (; strings[count]; count++)
        *bytes += strlen(strings[count]) + 1;
    return count;
}

static const char *auxv_string(const Elf64_auxv_t *auxv, uint64_t type)
{
    for (; auxv->a_type != AT_NULL; auxv++) {
        if (auxv->a_type == type)
            return (const char *)auxv->a_un.a_val;
    }
    return NULL;
}

static struct measure request_measure(const struct stack_request *request)
{
    struct measure measure = {0};
    const char *platform = auxv_string(request->auxv, AT_PLATFORM);
    const char *base_platform = auxv_string(request->auxv, AT_BASE_PLATFORM);
    measure.string_bytes = sizeof(uint64_t) + strlen(request->name) + 1 + RANDOM_BYTES;
    measure.string_bytes += platform ? strlen(platform) + 1 : 0;
    measure.string_bytes += base_platform ? strlen(base_platform) + 1 : 0;
    measure.argc = strings_measure(request->argv, &measure.string_bytes);
    measure.envc = strings_measure(request->envp, &measure.string_bytes);
    while (request->auxv[measure.auxv_count].a_type != AT_NULL)
        measure.auxv_count++;
    /* argc, both vectors with their ends, the auxv with entries that may be added and its end. */
    measure.vector_bytes =
        (1 + measure.argc + 1 + measure.envc + 1) * sizeof(uint64_t) + (measure.auxv_count + 8) * sizeof(Elf64_auxv_t);
    return measure;
}

/*
 * The kernel's stack grows up to RLIMIT_STACK, which a program may raise while it runs (compilers
 * do). This one cannot grow, so it gets the room from the start; pages that are not touched cost
 * nothing.
 */
static uint64_t stack_bytes(const struct measure *measure)
{
    struct rlimit limit;
    uint64_t bytes = STACK_BYTES_ALWAYS, content = measure->string_bytes + measure->vector_bytes;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur > bytes)
        bytes = limit.rlim_cur;
    if (bytes > STACK_BYTES_MAX)
        bytes = STACK_BYTES_MAX;
    return ((bytes + content + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ul)) + STACK_GUARD_BYTES;
}

static int stack_map(struct stack *stack, uint64_t bytes, bool executable)
{
    int protection = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
    long address = space_mmap(0, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (address < 0)
        return (int)address;
    long result = space_mprotect((uint64_t)address, STACK_GUARD_BYTES, PROT_NONE);
    if (result < 0)
        return (int)result;
    stack->start = (uint64_t)address + STACK_GUARD_BYTES;
    stack->end = (uint64_t)address + bytes;
    return 0;
}

static char *string_push(char *top, const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(top - size, string, size);
}

/* Strings in rising order below `top`; their addresses go to `vector`. Returns the address of the
 * first. */
static char *strings_push(char *top, char **strings, size_t count, char **vector)
{
    for (size_t i = count; i-- > 0;)
        vector[i] = top = string_push(top, strings[i]);
    vector[count] = NULL;
    return top;
}

static void auxv_set(struct stack *stack, uint64_t type, uint64_t value)
{
    size_t i = 0;
    while (i < stack->auxv_count && stack->auxv[i].a_type != type)
        i++;
    stack->auxv[i].a_type = type;
    stack->auxv[i].a_un.a_val = value;
    stack->auxv_count += i == stack->auxv_count;
}

static void auxv_write(const struct stack_request *request, struct stack *stack, uint64_t name, char **strings)
{
    char *top = *strings;
    for (const Elf64_auxv_t *entry = request->auxv; entry->a_type != AT_NULL; entry++) {
        if (entry->a_type == AT_SYSINFO_EHDR && request->vdso == 0)
            continue;
        stack->auxv[stack->auxv_count++] = *entry;
    }
    if (request->vdso)
        auxv_set(stack, AT_SYSINFO_EHDR, request->vdso);
    auxv_set(stack, AT_PHDR, request->headers_address);
    auxv_set(stack, AT_PHENT, sizeof(Elf64_Phdr));
    auxv_set(stack, AT_PHNUM, request->header_count);
    auxv_set(stack, AT_BASE, request->base);
    auxv_set(stack, AT_ENTRY, request->entry);
    auxv_set(stack, AT_EXECFN, name);
    static const uint64_t texts[] = {AT_PLATFORM, AT_BASE_PLATFORM};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *text = auxv_string(request->auxv, texts[i]);
        if (text)
            auxv_set(stack, texts[i], (uint64_t)(top = string_push(top, text)));
    }
    const char *random = auxv_string(request->auxv, AT_RANDOM);
    if (random) {
        top = memcpy(top - RANDOM_BYTES, random, RANDOM_BYTES);
        auxv_set(stack, AT_RANDOM, (uint64_t)top);
    }
    stack->auxv[stack->auxv_count].a_type = AT_NULL;
    stack->auxv[stack->auxv_count++].a_un.a_val = 0;
    *strings = top;
}

int stack_build(const struct stack_request *request, struct stack *stack, char why[WIRE_MESSAGE_BYTES])
{
    struct measure measure = request_measure(request);
    memset(stack, 0, sizeof *stack);
    int error = stack_map(stack, stack_bytes(&measure), request->executable);
    if (error) {
        snprintf(why, WIRE_MESSAGE_BYTES, "the program's stack: cannot be mapped: %s (is ulimit -v set?)",
                 strerror(-error));
        return error;
    }
    char *top = (char *)stack->end - sizeof(uint64_t); /* the kernel ends it with eight zero bytes */
    uint64_t pointer = (stack->end - measure.string_bytes - measure.vector_bytes) & ~15ul;
    stack->pointer = pointer;
    stack->argc = (int)measure.argc;
    *(uint64_t *)pointer = measure.argc;
    stack->argv = (char **)(pointer + sizeof(uint64_t));
    stack->envp = stack->argv + measure.argc + 1;
    stack->auxv = (Elf64_auxv_t *)(stack->envp + measure.envc + 1);

    char *name = top = string_push(top, request->name);
    stack->environment_end = (uint64_t)top;
    top = strings_push(top, request->envp, measure.envc, stack->envp);
    stack->environment_start = stack->argument_end = (uint64_t)top;
    top = strings_push(top, request->argv, measure.argc, stack->argv);
    stack->argument_start = (uint64_t)top;
    auxv_write(request, stack, (uint64_t)name, &top);
    SPAN_ASSERT((uint64_t)(stack->auxv + stack->auxv_count) <= (uint64_t)top);
    SPAN_ASSERT(stack->auxv[stack->auxv_count - 1].a_type == AT_NULL);
    return 0;
}
