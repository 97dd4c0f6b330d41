/*
 * Publishes the program's layout to the kernel: ps reads arguments from it, gdb the auxv.
 *
 * The rules are those of kernel/sys.c, validate_prctl_map_addr: every address between mmap_min_addr
 * and the end of user space, each range in order, data and break within RLIMIT_DATA. The executable
 * file itself could only be changed when nothing of the old one is mapped any more, and with
 * CAP_CHECKPOINT_RESTORE: it stays.
 */
#include "ld-span/procinfo.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void segments_find(const struct image *program, struct prctl_mm_map *map)
{
    for (unsigned i = 0; i < program->header_count; i++) {
        const Elf64_Phdr *load = &program->headers[i];
        if (load->p_type != PT_LOAD || load->p_memsz == 0)
            continue;
        uint64_t start = load->p_vaddr + program->bias, end = start + load->p_memsz;
        if (load->p_flags & PF_X) {
            map->start_code = map->start_code ? map->start_code : start;
            map->end_code = end;
        }
        /* As the kernel has it: the last segment is the data. */
        map->start_data = start;
        map->end_data = start + load->p_filesz;
    }
    if (!map->start_code) {
        map->start_code = program->start;
        map->end_code = program->end;
    }
}

int procinfo_publish(const struct image *program, const struct stack *stack, const char *name)
{
    const char *slash = strrchr(name, '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : name);

    /* The kernel's break is not the program's (monitor/space.c has that): whoever in our libc
     * relies on it must find it. */
    uint64_t brk = (uint64_t)syscall(SYS_brk, 0);
    struct prctl_mm_map map = {
        .start_brk = brk,
        .brk = brk,
        .start_stack = stack->pointer,
        .arg_start = stack->argument_start,
        .arg_end = stack->argument_end,
        .env_start = stack->environment_start,
        .env_end = stack->environment_end,
        .auxv = (__u64 *)stack->auxv,
        .auxv_size = (__u32)(stack->auxv_count * sizeof(Elf64_auxv_t)),
        .exe_fd = (__u32)-1,
    };
    segments_find(program, &map);
    return prctl(PR_SET_MM, PR_SET_MM_MAP, (unsigned long)&map, sizeof map, 0) < 0 ? -errno : 0;
}
