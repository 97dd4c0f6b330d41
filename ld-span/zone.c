/*
 * Clears the span zone. Not for PT_INTERP's own placement: the kernel puts us into the runtime
 * zone.
 */
#include "ld-span/zone.h"

#include <inttypes.h>
#include <linux/prctl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "runtime/wire.h"

extern const char __executable_start[];

void zone_remove(uint64_t start, uint64_t end)
{
    if (munmap((void *)start, end - start) < 0)
        span_fatal("the kernel's mapping of the program at %#" PRIx64 " cannot be undone", start);
}

/*
 * A break right below our own first page: growing it would overlap, so the kernel refuses. The
 * other fields are passing values that the kernel takes; procinfo_publish sets them for good.
 */
static bool break_move(void)
{
    uint64_t address = (uint64_t)__executable_start & ~(PAGE_BYTES - 1ul);
    uint64_t stack = (uint64_t)__builtin_frame_address(0);
    struct prctl_mm_map map = {
        .start_code = address,
        .end_code = address + PAGE_BYTES,
        .start_data = address,
        .end_data = address,
        .start_brk = address,
        .brk = address,
        .start_stack = stack,
        .arg_start = stack,
        .arg_end = stack,
        .env_start = stack,
        .env_end = stack,
        .exe_fd = (__u32)-1,
    };
    return prctl(PR_SET_MM, PR_SET_MM_MAP, (unsigned long)&map, sizeof map, 0) == 0;
}

void zone_clear(void)
{
    /* The entry stub has put a page behind the break, see prestart_quick.c. */
    uint64_t guard = ((uint64_t)syscall(SYS_brk, 0) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ul);
    if (guard < SPAN_ZONE_END && break_move()) {
        munmap((void *)guard, PAGE_BYTES);
        guard = 0;
    }
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t start, end;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2 || start >= SPAN_ZONE_END ||
            end <= SPAN_ZONE_START || start == guard)
            continue;
        line[strcspn(line, "\n")] = '\0';
        span_fatal("addresses of the program are in use before it is loaded: %s", line);
    }
    if (maps)
        fclose(maps);
}
