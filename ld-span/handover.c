/*
 * Hands a program over to its own rtld. Not for deciding when (ld-span_main.c).
 */
#include "ld-span/handover.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ld-span/program.h"
#include "ld-span/rtld.h"
#include "ld-span/start.h"
#include "monitor/fatal.h"

#define PAGE_MASK (PAGE_BYTES - 1ul)

static _Noreturn void give_up(const char *why)
{
    span_warn("%s", why);
    _exit(EXIT_NOT_FOUND);
}

static void *map_or_give_up(uint64_t address, uint64_t size, int protection, int flags, int fd, uint64_t offset)
{
    void *result = mmap((void *)address, size, protection, flags, fd, (off_t)offset);
    if (result == MAP_FAILED) {
        span_warn("the rtld: cannot be mapped: %s", strerror(errno));
        _exit(SPAN_EXIT_FAILURE);
    }
    return result;
}

/* Maps a checked ET_DYN anywhere; returns its load bias. */
static uint64_t rtld_map(int fd, const struct image *image)
{
    uint64_t size = image->high - image->low;
    uint64_t bias = (uint64_t)map_or_give_up(0, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) - image->low;
    for (unsigned i = 0; i < image->header_count; i++) {
        const Elf64_Phdr *load = &image->headers[i];
        if (load->p_type != PT_LOAD || load->p_memsz == 0)
            continue;
        int protection = (load->p_flags & PF_R ? PROT_READ : 0) | (load->p_flags & PF_W ? PROT_WRITE : 0) |
                         (load->p_flags & PF_X ? PROT_EXEC : 0);
        uint64_t start = (load->p_vaddr & ~PAGE_MASK) + bias, file_end = load->p_vaddr + load->p_filesz + bias;
        uint64_t memory = (file_end + PAGE_MASK) & ~PAGE_MASK;
        uint64_t end = (load->p_vaddr + load->p_memsz + bias + PAGE_MASK) & ~PAGE_MASK;
        if (load->p_filesz > 0) {
            map_or_give_up(start, memory - start, protection, MAP_PRIVATE | MAP_FIXED, fd, load->p_offset & ~PAGE_MASK);
            if (load->p_memsz > load->p_filesz && load->p_flags & PF_W)
                memset((void *)file_end, 0, memory - file_end);
        } else {
            memory = start;
        }
        if (end > memory)
            map_or_give_up(memory, end - memory, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    return bias;
}

/* The kernel keeps one area for each thread: ours must be gone for the program's libc to register
 * its own. */
static void rseq_leave(void)
{
    if (__rseq_size > 0)
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static _Noreturn void enter(uint64_t entry, char **stack)
{
    __asm__ volatile("mov %1, %%rsp\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "jmp *%0"
                     :
                     : "a"(entry), "c"(stack)
                     : "memory");
    __builtin_unreachable();
}

_Noreturn void handover_interpreter(void)
{
    static struct image program, rtld;
    char path[PATH_MAX], why[WIRE_MESSAGE_BYTES];
    struct stat self = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        give_up("a set-user-ID program: /proc/self/exe cannot be read (mount /proc)");
    if (image_check(fd, "a set-user-ID program", &program, why) < 0)
        give_up(why);
    if (program.has_interpreter && stat(program.interpreter, &self) < 0)
        give_up("a set-user-ID program: its interpreter is gone");
    if (rtld_choose(fd, "a set-user-ID program", &program, self.st_dev, self.st_ino, path, why) < 0)
        give_up(why);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || image_check(fd, path, &rtld, why) < 0 || rtld.type != ET_DYN)
        give_up("a set-user-ID program: its rtld cannot be used (install the program's libc)");
    uint64_t bias = rtld_map(fd, &rtld);
    close(fd);

    char **end = span_original_stack + 1 + (long)span_original_stack[0] + 1;
    while (*end)
        end++;
    for (Elf64_auxv_t *auxv = (Elf64_auxv_t *)(end + 1); auxv->a_type != AT_NULL; auxv++) {
        if (auxv->a_type == AT_BASE)
            auxv->a_un.a_val = bias + rtld.low;
    }
    rseq_leave();
    enter(rtld.entry_offset + bias, span_original_stack);
}

_Noreturn void handover_exec(const char *path, char *argv[], char *envp[])
{
    execve(path, argv, envp);
    int error = errno;
    span_warn("%s: cannot be run: %s", path, strerror(error));
    _exit(error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}
