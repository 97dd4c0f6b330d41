/*
 * Site patching in real libraries: how many of the call sites of libc, the rtlds and musl can be
 * patched, at what cost, and whether their functions still work. Not for shapes (test_patch.c).
 * Libraries that are not installed are passed over.
 *
 * links: $(filter syscall/patch%,$(PARTS)) tests/unit/patch_world.c tests/unit/patch_shapes.S
 */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "syscall/patch.h"
#include "tests/unit/patch_world.h"

struct library {
    uint8_t *base;
    uint64_t text_start, text_end;
    const Elf64_Dyn *dynamic;
};

static struct fake_thread fake;
/* Stands for the library's thread-local variables: errno and the like. */
static _Thread_local char tls[1024] __attribute__((aligned(64)));

static bool library_map(const char *path, struct library *library)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;
    Elf64_Phdr list[32];
    if (fd < 0)
        return false;
    ck_assert_int_eq(read(fd, &header, sizeof header), sizeof header);
    ck_assert_uint_le(header.e_phnum, 32);
    ck_assert_int_gt(pread(fd, list, header.e_phnum * sizeof list[0], (off_t)header.e_phoff), 0);
    memset(library, 0, sizeof *library);
    uint8_t *base = NULL;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &list[i];
        uint64_t start = segment->p_vaddr & ~4095ul, slack = segment->p_vaddr - start;
        if (segment->p_type == PT_DYNAMIC)
            library->dynamic = (const Elf64_Dyn *)(base + segment->p_vaddr);
        if (segment->p_type != PT_LOAD)
            continue;
        int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
        if (!base) {
            base = mmap(header.e_type == ET_EXEC ? (void *)start : NULL, 64ul << 20, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            ck_assert(base != MAP_FAILED);
            base = header.e_type == ET_EXEC ? NULL : base;
        }
        if (segment->p_memsz > segment->p_filesz)
            ck_assert(mmap(base + start, slack + segment->p_memsz, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                           -1, 0) != MAP_FAILED);
        ck_assert(mmap(base + start, slack + segment->p_filesz, protection, MAP_PRIVATE | MAP_FIXED, fd,
                       (off_t)(segment->p_offset - slack)) != MAP_FAILED);
        if (segment->p_flags & PF_X) {
            library->text_start = (uint64_t)base + segment->p_vaddr;
            library->text_end = library->text_start + segment->p_filesz;
        }
    }
    library->base = base;
    close(fd);
    return true;
}

static uint64_t dynamic_value(const struct library *library, int64_t tag)
{
    for (const Elf64_Dyn *entry = library->dynamic; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == tag)
            return entry->d_un.d_val;
    }
    return 0;
}

/* Enough for functions that only make calls and set errno: relative addresses, and offsets of
 * thread-local variables. */
static void library_relocate(const struct library *library)
{
    const Elf64_Rela *list = (const Elf64_Rela *)(library->base + dynamic_value(library, DT_RELA));
    const Elf64_Sym *symbols = (const Elf64_Sym *)(library->base + dynamic_value(library, DT_SYMTAB));
    uint64_t thread;
    __asm__("mov %%fs:0, %0" : "=r"(thread));
    for (size_t i = 0; i < dynamic_value(library, DT_RELASZ) / sizeof list[0]; i++) {
        uint64_t *slot = (uint64_t *)(library->base + list[i].r_offset);
        uint64_t symbol = symbols[ELF64_R_SYM(list[i].r_info)].st_value;
        unsigned type = ELF64_R_TYPE(list[i].r_info);
        if (type == R_X86_64_RELATIVE)
            *slot = (uint64_t)library->base + (uint64_t)list[i].r_addend;
        else if (type == R_X86_64_GLOB_DAT && symbol)
            *slot = (uint64_t)library->base + symbol;
        else if (type == R_X86_64_TPOFF64)
            *slot = (uint64_t)tls + symbol + (uint64_t)list[i].r_addend - thread;
    }
}

static void *library_function(const struct library *library, const char *name)
{
    const Elf64_Sym *symbols = (const Elf64_Sym *)(library->base + dynamic_value(library, DT_SYMTAB));
    const char *strings = (const char *)library->base + dynamic_value(library, DT_STRTAB);
    for (const Elf64_Sym *symbol = symbols; (const char *)symbol < strings; symbol++) {
        if (symbol->st_shndx != SHN_UNDEF && strcmp(strings + symbol->st_name, name) == 0)
            return library->base + symbol->st_value;
    }
    ck_abort_msg("no %s", name);
}

static uint64_t spent_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000ul + (uint64_t)time.tv_nsec;
}

static bool bytes_are_site(uint64_t at)
{
    uint8_t bytes[2];
    memcpy(bytes, (const void *)at, sizeof bytes);
    return bytes[0] == 0x0f && bytes[1] == 0x05;
}

static int shorter(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return a < b ? -1 : a > b;
}

/* Tries every place where the two bytes are found; some of those are inside other instructions. */
static unsigned sites_patch(const char *path, const struct library *library)
{
    static uint32_t cost_ns[4096];
    unsigned done = 0, count = 0;
    for (uint64_t at = library->text_start; at + 1 < library->text_end && count < 4096; at++) {
        if (!bytes_are_site(at))
            continue;
        uint64_t start = spent_ns();
        enum patch_result result = patch_site(at);
        cost_ns[count++] = (uint32_t)(spent_ns() - start);
        ck_assert_int_ne(result, PATCH_NO_ROOM);
        done += result == PATCH_DONE;
        if (result != PATCH_DONE && getenv("PATCH_VERBOSE"))
            fprintf(stderr, "doubtful %#lx\n", at - (uint64_t)library->base);
    }
    uint32_t first_ns = cost_ns[0];
    qsort(cost_ns, count, sizeof cost_ns[0], shorter);
    if (count > 0)
        printf("%s: %u sites patched, %u left; us of processor time: first %u, median %u, 90 %% "
               "below %u, all below %u\n",
               path, done, count - done, first_ns / 1000, cost_ns[count / 2] / 1000, cost_ns[count * 9 / 10] / 1000,
               cost_ns[count - 1] / 1000 + 1);
    return done;
}

/* ---- the tests ---- */

static const struct {
    const char *path;
    unsigned at_least; /* while threads run; one less than Debian 12 has, for a rebuild of it */
} libraries[] = {
    {"/lib/x86_64-linux-gnu/libc.so.6", 500},
    {"/lib64/ld-linux-x86-64.so.2", 40},
    {"/lib/ld-musl-x86_64.so.1", 450},
    {"/lib/x86_64-linux-gnu/libpthread.so.0", 0},
    {"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", 0},
    {"/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 0},
};
#define LIBRARIES ((int)(sizeof libraries / sizeof libraries[0]))

START_TEST(share_of_sites)
{
    struct library library;
    if (!library_map(libraries[_i].path, &library))
        return;
    world_start(true);
    ck_assert_uint_ge(sites_patch(libraries[_i].path, &library), libraries[_i].at_least);
}
END_TEST

static void libc_use(const struct library *libc, uint64_t calls)
{
    pid_t (*get_pid)(void) = library_function(libc, "getpid");
    pid_t (*get_parent)(void) = library_function(libc, "getppid");
    ssize_t (*reading)(int, void *, size_t) = library_function(libc, "read");
    int (*sleeping)(const struct timespec *, struct timespec *) = library_function(libc, "nanosleep");
    long (*raw)(long, ...) = library_function(libc, "syscall");
    int (*piping)(int[2]) = library_function(libc, "pipe");
    ssize_t (*writing)(int, const void *, size_t) = library_function(libc, "write");
    int (*closing)(int) = library_function(libc, "close");
    int (*stating)(const char *, struct stat *) = library_function(libc, "stat");
    void *(*mapping)(void *, size_t, int, int, int, off_t) = library_function(libc, "mmap");
    int *(*error)(void) = library_function(libc, "__errno_location");
    ck_assert_int_eq(get_pid(), getpid());
    ck_assert_int_eq(get_parent(), getppid());
    char bytes[8] = "";
    *error() = 0;
    ck_assert_int_eq(reading(-1, bytes, 1), -1);
    ck_assert_int_eq(*error(), EBADF);
    ck_assert_int_eq(sleeping(&(struct timespec){0, 1000}, NULL), 0);
    ck_assert_int_eq(sleeping(&(struct timespec){0, -1}, NULL), -1);
    ck_assert_int_eq(*error(), EINVAL);
    ck_assert_int_eq(raw(100000), -1);
    ck_assert_int_eq(*error(), ENOSYS);
    int ends[2];
    ck_assert_int_eq(piping(ends), 0);
    ck_assert_int_eq(writing(ends[1], "hello", 5), 5);
    ck_assert_int_eq(reading(ends[0], bytes, 8), 5);
    ck_assert_str_eq(bytes, "hello");
    ck_assert_int_eq(closing(ends[0]), 0);
    ck_assert_int_eq(closing(ends[1]), 0);
    struct stat status;
    ck_assert_int_eq(stating("/", &status), 0);
    ck_assert(S_ISDIR(status.st_mode));
    uint8_t *page = mapping(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(page != MAP_FAILED);
    page[1] = 1;
    ck_assert_uint_eq(fake.calls, calls);
}

START_TEST(libc_works_as_before)
{
    struct library libc;
    if (!library_map(libraries[0].path, &libc))
        return;
    library_relocate(&libc);
    world_start(true);
    world_thread(&fake);
    libc_use(&libc, 0);
    sites_patch(libraries[0].path, &libc);
    libc_use(&libc, 13);
    ck_assert_uint_eq(world_traps(), 0);
}
END_TEST

/* A static program that is not position-independent has no search table: compiled here when there
 * is a compiler. */
START_TEST(static_program)
{
    char directory[] = "/tmp/patch-XXXXXX", command[256], path[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/program", directory);
    snprintf(command, sizeof command,
             "echo 'int main(void) { return 0; }' | cc -static -no-pie -Wl,-Ttext-segment=0x200000 "
             "-x c -o %s - "
             "2>/dev/null",
             path);
    struct library library;
    bool built = system(command) == 0 && library_map(path, &library);
    unlink(path);
    rmdir(directory);
    if (!built)
        return;
    world_start(true);
    ck_assert_uint_ge(sites_patch("static program", &library), 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patch_libraries");
    TCase *cases = tcase_create("libraries");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, share_of_sites, 0, LIBRARIES);
    tcase_add_test(cases, libc_works_as_before);
    tcase_add_test(cases, static_program);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
