/*
 * ELF files, sound and damaged: checked, mapped, and their rtld chosen, without a crash and with
 * one line of reason. links: ld-span/image.c ld-span/image_load.c ld-span/rtld.c monitor/fatal.c
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/image.h"
#include "ld-span/rtld.h"
#include "monitor/space.h"

#define FUZZ_ROUNDS 6000

/* ---- the part of monitor/space.h that loading uses
 * ------------------------------------------------------------------ */

static uint64_t space_next = SPAN_ZONE_END;

long space_mmap(uint64_t address, size_t length, int protection, int flags, int fd, off_t offset)
{
    length = (length + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ul);
    if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
        address = space_next - length;
        flags |= MAP_FIXED_NOREPLACE;
    }
    void *result = mmap((void *)address, length, protection, flags, fd, offset);
    return result == MAP_FAILED ? -errno : (long)result;
}

long space_munmap(uint64_t address, size_t length)
{
    return munmap((void *)address, length) ? -errno : 0;
}

/* ---- files in memory
 * ---------------------------------------------------------------------------------------------------
 */

struct copy {
    int fd;
    unsigned char *bytes;
    size_t size;
    Elf64_Ehdr header;
    Elf64_Phdr *headers;
};

static struct copy copy_of(const char *path)
{
    struct copy copy = {.fd = memfd_create("image", MFD_CLOEXEC)};
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0 && fstat(fd, &status) == 0, "%s: %s", path, strerror(errno));
    copy.size = (size_t)status.st_size;
    copy.bytes = malloc(copy.size);
    ck_assert(copy.bytes && read(fd, copy.bytes, copy.size) == (ssize_t)copy.size);
    close(fd);
    ck_assert(write(copy.fd, copy.bytes, copy.size) == (ssize_t)copy.size);
    memcpy(&copy.header, copy.bytes, sizeof copy.header);
    copy.headers = (Elf64_Phdr *)(copy.bytes + copy.header.e_phoff);
    return copy;
}

static void copy_put(const struct copy *copy)
{
    ck_assert(ftruncate(copy->fd, (off_t)copy->size) == 0);
    ck_assert(pwrite(copy->fd, copy->bytes, copy->size, 0) == (ssize_t)copy->size);
}

static void copy_free(struct copy *copy)
{
    close(copy->fd);
    free(copy->bytes);
}

static Elf64_Phdr *copy_header(const struct copy *copy, uint32_t type)
{
    for (unsigned i = 0; i < copy->header.e_phnum; i++) {
        if (copy->headers[i].p_type == type)
            return &copy->headers[i];
    }
    return NULL;
}

static struct image image;
static char why[WIRE_MESSAGE_BYTES];

/* The changed copy must be refused, for a reason that has the word in it. */
static void refused(const struct copy *copy, int error, const char *word)
{
    copy_put(copy);
    ck_assert_int_eq(image_check(copy->fd, "file", &image, why), error);
    ck_assert_msg(strstr(why, word) && !strchr(why, '\n'), "\"%s\" lacks \"%s\"", why, word);
}

/* ---- sound files
 * ---------------------------------------------------------------------------------------------------------
 */

static bool is_zero(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

START_TEST(loads_as_the_file_says)
{
    static const char *const paths[] = {"/bin/true", "/bin/sh", RTLD_GLIBC, "/usr/bin/gcc"};
    struct copy copy = copy_of(paths[_i]);
    ck_assert_msg(image_check(copy.fd, paths[_i], &image, why) == 0, "%s", why);
    ck_assert_int_eq(image_load(copy.fd, paths[_i], &image, image.has_interpreter ? IMAGE_PIE_BASE : 0, why), 0);
    if (image.type == ET_DYN && image.has_interpreter)
        ck_assert_uint_eq(image.start, IMAGE_PIE_BASE);
    ck_assert_uint_eq(image.start % image.align, 0);
    ck_assert_uint_eq(image.entry, copy.header.e_entry + image.bias);
    ck_assert_uint_eq(image.brk_start, image.end);
    ck_assert_mem_eq((void *)image.headers_address, copy.headers, image.header_count * sizeof(Elf64_Phdr));
    for (unsigned i = 0; i < image.header_count; i++) {
        const Elf64_Phdr *load = &image.headers[i];
        if (load->p_type != PT_LOAD)
            continue;
        const unsigned char *start = (unsigned char *)(load->p_vaddr + image.bias);
        ck_assert_mem_eq(start, copy.bytes + load->p_offset, load->p_filesz);
        ck_assert(is_zero(start + load->p_filesz, load->p_memsz - load->p_filesz));
    }
    ck_assert_int_eq(munmap((void *)image.start, image.end - image.start), 0);
    copy_free(&copy);
}
END_TEST

START_TEST(alignment_larger_than_a_page_is_respected)
{
    struct copy copy = copy_of("/bin/true");
    copy_header(&copy, PT_LOAD)->p_align = 2ul << 20;
    copy_put(&copy);
    ck_assert_int_eq(image_check(copy.fd, "file", &image, why), 0);
    ck_assert_uint_eq(image.align, 2ul << 20);
    ck_assert_int_eq(image_load(copy.fd, "file", &image, IMAGE_PIE_BASE, why), 0);
    ck_assert_uint_eq(image.start % (2ul << 20), 0);
    ck_assert_int_eq(munmap((void *)image.start, image.end - image.start), 0);
    ck_assert_int_eq(image_load(copy.fd, "file", &image, 0, why), 0);
    ck_assert_uint_eq(image.start % (2ul << 20), 0);
    ck_assert_int_eq(munmap((void *)image.start, image.end - image.start), 0);
    copy_free(&copy);
}
END_TEST

START_TEST(addresses_in_use_are_said)
{
    struct copy copy = copy_of("/bin/true");
    uint64_t fixed = 0x10000000;
    ((Elf64_Ehdr *)copy.bytes)->e_type = ET_EXEC;
    ((Elf64_Ehdr *)copy.bytes)->e_entry += fixed;
    for (unsigned i = 0; i < copy.header.e_phnum; i++)
        copy.headers[i].p_vaddr += fixed;
    copy_put(&copy);
    ck_assert_msg(image_check(copy.fd, "file", &image, why) == 0, "%s", why);
    ck_assert(mmap((void *)fixed, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
              (void *)fixed);
    ck_assert_int_eq(image_load(copy.fd, "file", &image, IMAGE_PIE_BASE, why), -EEXIST);
    ck_assert_msg(strstr(why, "in use"), "%s", why);
    munmap((void *)fixed, PAGE_BYTES);
    ck_assert_int_eq(image_check(copy.fd, "file", &image, why), 0);
    ck_assert_int_eq(image_load(copy.fd, "file", &image, IMAGE_PIE_BASE, why), 0);
    ck_assert_uint_eq(image.bias, 0);
    ck_assert_uint_eq(image.start, fixed);
    ck_assert_int_eq(munmap((void *)image.start, image.end - image.start), 0);
    copy_free(&copy);
}
END_TEST

/* ---- damaged files
 * --------------------------------------------------------------------------------------------------------
 */

START_TEST(truncated)
{
    struct copy copy = copy_of("/bin/true");
    size_t whole = copy.size;
    static const size_t sizes[] = {0, 1, 4, 63, 64, 100, 300, 700, 2000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        copy.size = sizes[i];
        refused(&copy, -ENOEXEC, "truncated");
    }
    /* The last segment's bytes end before the section headers. */
    const Elf64_Phdr *last = NULL;
    for (unsigned i = 0; i < copy.header.e_phnum; i++)
        last = copy.headers[i].p_type == PT_LOAD ? &copy.headers[i] : last;
    copy.size = last->p_offset + last->p_filesz - 1;
    refused(&copy, -ENOEXEC, "truncated");
    copy.size = whole;
    copy_free(&copy);
}
END_TEST

/* Each case changes a fresh copy of /bin/true. */
#define HEADER ((Elf64_Ehdr *)copy.bytes)
#define LOAD   copy_header(&copy, PT_LOAD)
#define INTERP copy_header(&copy, PT_INTERP)
#define REFUSED(change, word)                                                                                          \
    do {                                                                                                               \
        struct copy copy = copy_of("/bin/true");                                                                       \
        change;                                                                                                        \
        refused(&copy, -ENOEXEC, word);                                                                                \
        copy_free(&copy);                                                                                              \
    } while (0)

START_TEST(header_fields)
{
    REFUSED(copy.bytes[0] = 'x', "not an ELF");
    REFUSED(copy.bytes[EI_CLASS] = ELFCLASS32, "32-bit");
    REFUSED(copy.bytes[EI_CLASS] = 9, "class");
    REFUSED(copy.bytes[EI_DATA] = ELFDATA2MSB, "byte order");
    REFUSED(copy.bytes[EI_VERSION] = 7, "version");
    REFUSED(HEADER->e_machine = EM_AARCH64, "machine");
    REFUSED(HEADER->e_type = ET_REL, "object file");
    REFUSED(HEADER->e_type = ET_CORE, "core");
    REFUSED(HEADER->e_type = 77, "type");
    REFUSED(HEADER->e_phentsize = 32, "size");
    REFUSED(HEADER->e_phnum = 0, "no program headers");
    REFUSED(HEADER->e_phnum = 65535, "too many");
    REFUSED(HEADER->e_phoff = UINT64_MAX - 8, "beyond");
    REFUSED(HEADER->e_phoff = copy.size - 8, "beyond");
    REFUSED(HEADER->e_entry = 0x700000, "entry");
    REFUSED(HEADER->e_entry = UINT64_MAX, "entry");
}
END_TEST

START_TEST(segments)
{
    REFUSED(LOAD->p_memsz = UINT64_MAX, "addresses");
    REFUSED(LOAD->p_memsz = SPAN_ZONE_END, "overlap");
    REFUSED(LOAD->p_vaddr = UINT64_MAX - 4095, "addresses");
    REFUSED(LOAD->p_vaddr = SPAN_ZONE_END, "addresses");
    REFUSED(LOAD->p_memsz = 0x100000, "overlap");
    REFUSED(LOAD->p_memsz = LOAD->p_filesz - 1, "more bytes");
    REFUSED(LOAD->p_offset = 1ul << 50, "beyond");
    REFUSED(LOAD->p_offset = UINT64_MAX & ~4095ul, "beyond");
    REFUSED(LOAD->p_offset += 8, "within a page");
    REFUSED(LOAD->p_vaddr += 8, "within a page");
    REFUSED(LOAD->p_align = 1ul << 40, "alignment");
    REFUSED(LOAD->p_vaddr = 0x100000, "out of order");
    REFUSED(HEADER->e_type = ET_EXEC, "addresses");
    REFUSED(for (unsigned i = 0; i < copy.header.e_phnum; i++) if (copy.headers[i].p_type == PT_LOAD) copy.headers[i]
                .p_type = PT_NULL,
            "no segments");
}
END_TEST

START_TEST(interpreter)
{
    REFUSED(INTERP->p_filesz = 0, "length");
    REFUSED(INTERP->p_filesz = 1, "length");
    REFUSED(INTERP->p_filesz = 1 << 20, "length");
    REFUSED(INTERP->p_filesz -= 1, "does not end");
    REFUSED(INTERP->p_offset = UINT64_MAX, "beyond");
    REFUSED(INTERP->p_offset = copy.size - 2, "beyond");
    REFUSED(copy.bytes[INTERP->p_offset] = 0, "empty");
    REFUSED(copy_header(&copy, PT_GNU_STACK)->p_type = PT_INTERP, "");
}
END_TEST

START_TEST(not_files)
{
    int fd = open("/tmp", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(image_check(fd, "/tmp", &image, why), -EACCES);
    ck_assert_ptr_nonnull(strstr(why, "directory"));
    close(fd);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(image_check(fd, "/dev/null", &image, why), -EACCES);
    close(fd);
    ck_assert_int_eq(image_check(-1, "none", &image, why), -EBADF);
}
END_TEST

/* ---- chance
 * -----------------------------------------------------------------------------------------------------------------
 */

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* Values that arithmetic trips over. */
static uint64_t random_value(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      7,
                                      8,
                                      4095,
                                      4096,
                                      4097,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      SPAN_ZONE_END,
                                      SPAN_ZONE_END - 1,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      UINT64_MAX,
                                      UINT64_MAX - 4095,
                                      0x10000,
                                      0x400000};
    uint64_t value = values[random_next() % (sizeof values / sizeof values[0])];
    return random_next() % 4 ? value : value + random_next() % 64 - 32;
}

/* Spoils the file in one to four places, mostly where the checks look. Returns its new size. */
static size_t spoil(unsigned char *bytes, size_t size, const Elf64_Ehdr *header, uint64_t dynamic)
{
    size_t head = header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr);
    for (uint64_t count = 1 + random_next() % 4; count > 0; count--) {
        uint64_t kind = random_next() % 8, value = random_value();
        size_t at;
        if (kind < 3)
            at = random_next() % head;
        else if (kind < 6)
            at = header->e_phoff + (random_next() % (header->e_phnum * 7ul)) * 8;
        else if (kind < 7 && dynamic + 640 < size)
            at = dynamic + (random_next() % 80) * 8;
        else
            at = random_next() % size;
        if (kind < 3)
            bytes[at] ^= (unsigned char)(1u << random_next() % 8);
        else if (at + sizeof value <= size)
            memcpy(bytes + at, &value, sizeof value);
    }
    return random_next() % 8 ? size : random_next() % size;
}

START_TEST(damage_by_chance)
{
    static const char *const paths[] = {"/bin/true", RTLD_GLIBC, "/usr/bin/gcc"};
    struct copy copy = copy_of(paths[_i]);
    size_t whole = copy.size > 64 * 1024 ? 64 * 1024 : copy.size, loaded = 0;
    unsigned char *original = malloc(whole);
    ck_assert_ptr_nonnull(original);
    memcpy(original, copy.bytes, whole);
    const Elf64_Phdr *dynamic = copy_header(&copy, PT_DYNAMIC);
    uint64_t dynamic_offset = dynamic ? dynamic->p_offset : 0;
    for (int round = 0; round < FUZZ_ROUNDS; round++) {
        size_t size = spoil(copy.bytes, whole, &copy.header, dynamic_offset);
        ck_assert(ftruncate(copy.fd, (off_t)(size < whole ? size : copy.size)) == 0);
        ck_assert(pwrite(copy.fd, copy.bytes, size, 0) == (ssize_t)size);
        memset(why, 0, sizeof why);
        int error = image_check(copy.fd, "file", &image, why);
        ck_assert_msg(error == 0 || (error == -ENOEXEC && why[0] && !strchr(why, '\n')), "%d \"%s\"", error, why);
        char rtld[PATH_MAX];
        if (!error && image_load(copy.fd, "file", &image, IMAGE_PIE_BASE, why) == 0) {
            ck_assert(image.start >= SPAN_ZONE_START && image.end <= SPAN_ZONE_END && image.start < image.end);
            ck_assert_int_eq(munmap((void *)image.start, image.end - image.start), 0);
            loaded++;
        }
        if (!error) {
            memcpy(image.interpreter, "ld-span.so", 11);
            image.has_interpreter = true;
            ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
        }
        memcpy(copy.bytes, original, whole);
        ck_assert(pwrite(copy.fd, original, whole, 0) == (ssize_t)whole);
        if (size < whole)
            ck_assert(pwrite(copy.fd, copy.bytes + whole, copy.size - whole, (off_t)whole) ==
                      (ssize_t)(copy.size - whole));
    }
    /* Not all damage is fatal, else nothing above was tested. */
    ck_assert_uint_gt(loaded, FUZZ_ROUNDS / 50);
    free(original);
    copy_free(&copy);
}
END_TEST

/* ---- the rtld
 * ---------------------------------------------------------------------------------------------------------------
 */

START_TEST(rtld_from_the_program)
{
    char rtld[PATH_MAX];
    struct copy copy = copy_of("/bin/true");
    ck_assert_int_eq(image_check(copy.fd, "file", &image, why), 0);
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, image.interpreter);
    /* ld-span itself, by name and by file: DT_NEEDED decides. */
    strcpy(image.interpreter, "/usr/lib/ld-span.so");
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, RTLD_GLIBC);
    struct stat status;
    ck_assert_int_eq(stat("/proc/self/exe", &status), 0);
    strcpy(image.interpreter, "/proc/self/exe");
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, status.st_dev, status.st_ino, rtld, why), 0);
    ck_assert_str_eq(rtld, RTLD_GLIBC);
    image.has_interpreter = false;
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, "");
    copy_free(&copy);
}
END_TEST

START_TEST(rtld_from_the_note)
{
    struct {
        char interpreter[28];
        Elf64_Nhdr header;
        char name[8];
        uint64_t words[RTLD_NOTE_WORDS];
        char path[24];
    } tail = {"/usr/lib/ld-span.so", {8, RTLD_NOTE_WORDS * 8 + 24, RTLD_NOTE_TYPE}, "ld-span", {0}, "/opt/rtld.so"};
    char rtld[PATH_MAX];
    struct copy copy = copy_of("/bin/true");
    size_t at = copy.size;
    copy.size += 8192;
    copy.bytes = realloc(copy.bytes, copy.size);
    ck_assert_ptr_nonnull(copy.bytes);
    copy.headers = (Elf64_Phdr *)(copy.bytes + copy.header.e_phoff);
    at = (at + 3) & ~3ul;
    memset(copy.bytes + at, 0, copy.size - at);
    memcpy(copy.bytes + at, &tail, sizeof tail);
    INTERP->p_offset = at;
    INTERP->p_filesz = 26;
    copy_put(&copy);
    ck_assert_msg(image_check(copy.fd, "file", &image, why) == 0, "%s", why);
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, "/opt/rtld.so");
    /* A note that does not end, or claims to be huge, is as none. */
    memset(copy.bytes + at + offsetof(__typeof__(tail), path), 'x', 24);
    copy_put(&copy);
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, RTLD_GLIBC);
    ((__typeof__(tail) *)(copy.bytes + at))->header.n_descsz = UINT32_MAX;
    copy_put(&copy);
    ck_assert_int_eq(rtld_choose(copy.fd, "file", &image, 0, 0, rtld, why), 0);
    ck_assert_str_eq(rtld, RTLD_GLIBC);
    copy_free(&copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image");
    TCase *cases = tcase_create("image");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, loads_as_the_file_says, 0, 4);
    tcase_add_test(cases, alignment_larger_than_a_page_is_respected);
    tcase_add_test(cases, addresses_in_use_are_said);
    tcase_add_test(cases, truncated);
    tcase_add_test(cases, header_fields);
    tcase_add_test(cases, segments);
    tcase_add_test(cases, interpreter);
    tcase_add_test(cases, not_files);
    tcase_add_loop_test(cases, damage_by_chance, 0, 3);
    tcase_add_test(cases, rtld_from_the_program);
    tcase_add_test(cases, rtld_from_the_note);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
