/*
 * The closure of DT_NEEDED against the system's rtld, dynamic string tokens, and ld.so.cache, sound
 * and damaged. links: ld-span/closure.c ld-span/search.c ld-span/cache.c ld-span/image.c
 * ld-span/rtld.c monitor/fatal.c
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/cache.h"
#include "ld-span/closure.h"
#include "ld-span/rtld.h"

#define TEXT_BYTES (64u * 1024u)

static struct image image;
static char why[WIRE_MESSAGE_BYTES];

/* What --list prints for a program, addresses cut off. */
static void list(const char *path, const struct search_options *search, const char *preload, char *text)
{
    char rtld[PATH_MAX], line[PATH_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0 && image_check(fd, path, &image, why) == 0, "%s: %s", path, why);
    ck_assert_int_eq(rtld_choose(fd, path, &image, 0, 0, rtld, why), 0);
    close(fd);
    struct closure closure;
    struct closure_request request = {path, &image, rtld, preload, search};
    ck_assert_msg(closure_compute(&request, &closure, why) == 0, "%s", why);
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    closure_print(&closure, 1, file);
    closure_free(&closure);
    rewind(file);
    text[0] = '\0';
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "(\n")] = '\0';
        strcat(strcat(text, line), "\n");
        ck_assert_uint_lt(strlen(text), TEXT_BYTES - sizeof line);
    }
    fclose(file);
}

/* The same from the system's rtld; false when it fails. */
static bool list_native(const char *command, char *text)
{
    char line[PATH_MAX];
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    text[0] = '\0';
    while (fgets(line, sizeof line, pipe)) {
        line[strcspn(line, "(\n")] = '\0';
        strcat(strcat(text, line), "\n");
        ck_assert_uint_lt(strlen(text), TEXT_BYTES - sizeof line);
    }
    return pclose(pipe) == 0;
}

START_TEST(as_the_rtld_lists)
{
    static const char *const paths[] = {"/bin/ls",       "/bin/bash",    "/usr/bin/perl", "/usr/bin/pigz",
                                        "/usr/bin/make", "/usr/bin/xz",  "/usr/bin/gcc",  "/usr/bin/as",
                                        "/usr/bin/apt",  "/usr/bin/gdb", "/usr/bin/dpkg", "/usr/bin/python3",
                                        "/bin/tar"};
    static char ours[TEXT_BYTES], theirs[TEXT_BYTES];
    const struct search_options search = {0};
    unsigned compared = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char command[PATH_MAX + 128], real[PATH_MAX];
        if (!realpath(paths[i], real))
            continue;
        snprintf(command, sizeof command, "env -u LD_LIBRARY_PATH -u LD_PRELOAD " RTLD_GLIBC " --list %s", real);
        if (!list_native(command, theirs))
            continue;
        list(real, &search, NULL, ours);
        ck_assert_str_eq(ours, theirs);
        compared++;
    }
    ck_assert_uint_ge(compared, 3);
}
END_TEST

/* ---- places of a search: libraries made for the purpose
 * ------------------------------------------------------------- */

static char directory[] = "/tmp/test_closure.XXXXXX";

static void shell(const char *command)
{
    char line[2048];
    snprintf(line, sizeof line, "cd %s && { %s; } >/dev/null 2>&1", directory, command);
    ck_assert_msg(system(line) == 0, "%s", line);
}

static void tree_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    shell("mkdir a b c b/glibc-hwcaps b/glibc-hwcaps/x86-64-v2");
    shell("echo 'int f(void){return 1;}' > f.c && echo 'int f(void); int main(void){return f();}' "
          "> m.c");
    shell("gcc -shared -fPIC -nostdlib -o a/libf.so f.c && cp a/libf.so b/ && cp a/libf.so "
          "b/glibc-hwcaps/x86-64-v2/");
    shell("gcc -o plain m.c a/libf.so -Wl,-soname,x && gcc -o needs m.c -La -lf");
    shell("gcc -o runpath m.c -La -lf -Wl,--enable-new-dtags,-rpath,'$ORIGIN/a'");
    shell("gcc -o rpath m.c -La -lf -Wl,--disable-new-dtags,-rpath,'${ORIGIN}/a'");
    /* Found only by the RPATH of the program that loaded its loader. */
    shell("echo 'int f(void); int g(void){return f();}' > g.c && gcc -shared -fPIC -nostdlib -o "
          "c/libg.so g.c -La -lf");
    shell("echo 'int g(void); int main(void){return g();}' > n.c");
    shell("gcc -o chain n.c -Lc -lg -Wl,--disable-new-dtags,-rpath,'$ORIGIN/c:$ORIGIN/a' "
          "-Wl,-rpath-link,a");
    shell("gcc -o nochain n.c -Lc -lg -Wl,--enable-new-dtags,-rpath,'$ORIGIN/c:$ORIGIN/a' "
          "-Wl,-rpath-link,a");
    /* In the way: a file of another class and one that is no ELF file. */
    shell("cp a/libf.so c/libf.so && printf '\\001' | dd of=c/libf.so bs=1 seek=4 conv=notrunc");
}

static void tree_remove(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", directory);
    ck_assert_int_eq(system(line), 0);
}

/* The line that the closure of `program` has for libf.so; "" when it has none. */
static const char *line_for_libf(const char *program, const struct search_options *search, const char *preload)
{
    static char text[TEXT_BYTES];
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, program);
    list(path, search, preload, text);
    char *line = strstr(text, "libf.so =>");
    if (!line)
        return "";
    line[strcspn(line, "\n")] = '\0';
    char *place = strstr(line, directory);
    return place ? place + strlen(directory) : strstr(line, "not found") ? "not found" : line;
}

START_TEST(places_of_a_search)
{
    char b[64], both[160], inhibit[64];
    struct search_options none = {0}, with_b = {.library_path = b}, semicolon = {.library_path = both};
    snprintf(b, sizeof b, "%s/b", directory);
    snprintf(both, sizeof both, "/nowhere:%s/c;%s/a", directory, directory);
    ck_assert_str_eq(line_for_libf("needs", &none, NULL), "not found");
    ck_assert_str_eq(line_for_libf("needs", &with_b, NULL), "/b/glibc-hwcaps/x86-64-v2/libf.so ");
    struct search_options masked = {.library_path = b, .hwcaps_mask = "x86-64-v9"};
    ck_assert_str_eq(line_for_libf("needs", &masked, NULL), "/b/libf.so ");
    ck_assert_str_eq(line_for_libf("needs", &semicolon, NULL), "/a/libf.so ");
    ck_assert_str_eq(line_for_libf("runpath", &none, NULL), "/a/libf.so ");
    ck_assert_str_eq(line_for_libf("rpath", &none, NULL), "/a/libf.so ");
    /* LD_LIBRARY_PATH comes before RUNPATH and after RPATH. */
    ck_assert_str_eq(line_for_libf("runpath", &masked, NULL), "/b/libf.so ");
    ck_assert_str_eq(line_for_libf("rpath", &masked, NULL), "/a/libf.so ");
    /* RPATH is inherited, RUNPATH is not. */
    ck_assert_str_eq(line_for_libf("chain", &none, NULL), "/a/libf.so ");
    ck_assert_str_eq(line_for_libf("nochain", &none, NULL), "not found");
    snprintf(inhibit, sizeof inhibit, "/x:%s/rpath", directory);
    struct search_options inhibited = {.inhibit_rpath = inhibit};
    ck_assert_str_eq(line_for_libf("rpath", &inhibited, NULL), "not found");
    /* One file is loaded once, whatever its names. */
    char preload[64];
    snprintf(preload, sizeof preload, "%s/a/libf.so", directory);
    ck_assert_str_eq(line_for_libf("rpath", &none, preload), "");
}
END_TEST

START_TEST(tokens)
{
    char out[PATH_MAX];
    static const char *const cases[][2] = {{"$ORIGIN/../lib", "/opt/x/../lib"},
                                           {"${ORIGIN}lib", "/opt/xlib"},
                                           {"a$LIB/b", "alib/x86_64-linux-gnu/b"},
                                           {"plain", "plain"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert(search_expand(cases[i][0], "/opt/x/prog", out));
        ck_assert_str_eq(out, cases[i][1]);
    }
    ck_assert(search_expand("$ORIGIN", "/prog", out));
    ck_assert_str_eq(out, "/");
    static const char *const bad[] = {"$", "$ORIGINS", "${ORIGIN", "${}", "$HOME/lib"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!search_expand(bad[i], "/opt/x/prog", out), "%s", bad[i]);
    static char longest[PATH_MAX + 1];
    memset(longest, 'a', sizeof longest - 1);
    ck_assert(!search_expand(longest, "/prog", out));
}
END_TEST

/* ---- the cache
 * -------------------------------------------------------------------------------------------------------------
 */

START_TEST(cache_finds_libc)
{
    struct cache cache;
    char path[PATH_MAX];
    const struct search_options search = {0};
    cache_open(CACHE_PATH, &cache);
    ck_assert_ptr_nonnull(cache.bytes);
    ck_assert(cache_find(&cache, "libc.so.6", search_hwcaps(&search), path));
    ck_assert_int_eq(access(path, R_OK), 0);
    ck_assert(!cache_find(&cache, "libnone.so.0", search_hwcaps(&search), path));
    cache_close(&cache);
    cache_open("/nowhere", &cache);
    ck_assert_ptr_null(cache.bytes);
    ck_assert(!cache_find(&cache, "libc.so.6", search_hwcaps(&search), path));
}
END_TEST

START_TEST(cache_damaged)
{
    char copy[64], path[PATH_MAX];
    static unsigned char bytes[1u << 20], spoilt[1u << 20];
    const struct search_options search = {0};
    const char *const *hwcaps = search_hwcaps(&search);
    int fd = open(CACHE_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, bytes, sizeof bytes);
    close(fd);
    ck_assert_int_gt(size, 1000);
    snprintf(copy, sizeof copy, "%s/cache", directory);
    fd = open(copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    srandom(1);
    for (int round = 0; round < 1500; round++) {
        memcpy(spoilt, bytes, (size_t)size);
        for (long count = 1 + random() % 6; count > 0; count--) {
            size_t at = (size_t)random() % (random() % 2 ? 4096 : (size_t)size - 8);
            uint32_t value = random() % 2 ? UINT32_MAX - (uint32_t)(random() % 64) : (uint32_t)random();
            memcpy(spoilt + at, &value, random() % 2 ? sizeof value : 1);
        }
        size_t length = random() % 4 ? (size_t)size : (size_t)(random() % size);
        ck_assert(ftruncate(fd, 0) == 0 && pwrite(fd, spoilt, length, 0) == (ssize_t)length);
        struct cache cache;
        cache_open(copy, &cache);
        if (cache_find(&cache, "libc.so.6", hwcaps, path))
            ck_assert_uint_lt(strlen(path), PATH_MAX);
        cache_close(&cache);
    }
    close(fd);
}
END_TEST

/* Damaged dynamic sections: any answer will do, as long as it is one. */
START_TEST(dynamic_damaged)
{
    static char text[TEXT_BYTES];
    char command[256], path[64];
    const struct search_options search = {.library_path = directory};
    snprintf(path, sizeof path, "%s/spoilt", directory);
    snprintf(command, sizeof command, "cp /bin/ls %s && chmod u+w %s", path, path);
    ck_assert_int_eq(system(command), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(image_check(fd, path, &image, why), 0);
    const Elf64_Phdr *dynamic = NULL;
    for (unsigned i = 0; i < image.header_count; i++)
        dynamic = image.headers[i].p_type == PT_DYNAMIC ? &image.headers[i] : dynamic;
    ck_assert_ptr_nonnull(dynamic);
    uint64_t offset = dynamic->p_offset, count = dynamic->p_filesz / sizeof(Elf64_Dyn);
    Elf64_Dyn entries[64];
    ck_assert_uint_le(count, 64);
    srandom(2);
    ck_assert(pread(fd, entries, count * sizeof *entries, (off_t)offset) > 0);
    for (int round = 0; round < 200; round++) {
        Elf64_Dyn entry = entries[(uint64_t)random() % 24 % count];
        static const uint64_t values[] = {0, 1, UINT64_MAX, 1ul << 40, 0x7fffffff, 5};
        if (random() % 2)
            entry.d_un.d_val = values[random() % 6];
        else
            entry.d_tag = (long[]){DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_NULL, DT_RPATH, DT_SONAME}[random() % 6];
        off_t at = (off_t)(offset + ((uint64_t)random() % count) * sizeof entry);
        Elf64_Dyn before;
        ck_assert(pread(fd, &before, sizeof before, at) == sizeof before);
        ck_assert(pwrite(fd, &entry, sizeof entry, at) == sizeof entry);
        list(path, &search, NULL, text);
        ck_assert(pwrite(fd, &before, sizeof before, at) == sizeof before);
    }
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("closure");
    TCase *cases = tcase_create("closure");
    tcase_set_timeout(cases, 100);
    tcase_add_unchecked_fixture(cases, tree_make, tree_remove);
    tcase_add_test(cases, as_the_rtld_lists);
    tcase_add_test(cases, places_of_a_search);
    tcase_add_test(cases, tokens);
    tcase_add_test(cases, cache_finds_libc);
    tcase_add_test(cases, cache_damaged);
    tcase_add_test(cases, dynamic_damaged);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
