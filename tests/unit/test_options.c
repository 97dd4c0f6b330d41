/*
 * Options from files, variables and the command line: precedence, messages, and the way back to
 * arguments. links: ld-span/options.c ld-span/options_file.c ld-span/options_help.c
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/options.h"

static struct span_options options;
static char why[WIRE_MESSAGE_BYTES];
static char config_path[64], config_variable[96];

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
/* Parses a command line under the environment `environment`. */
#define PARSE(environment, ...)                                                                                        \
    parse(environment, COUNT(((char *[]){(char *)(uintptr_t) "ld-span.so", __VA_ARGS__})),                             \
          (char *[]){(char *)(uintptr_t) "ld-span.so", __VA_ARGS__, NULL})
#define T(text) ((char *)(uintptr_t)(text))

static int parse(char *environment[], int argc, char *argv[])
{
    static char *empty[2];
    empty[0] = config_variable;
    return options_parse(&options, argc, argv, environment ? environment : empty, true, why);
}

static void config_write(const char *text)
{
    FILE *file = fopen(config_path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void set_up(void)
{
    snprintf(config_path, sizeof config_path, "/tmp/test_options.XXXXXX");
    int fd = mkstemp(config_path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    snprintf(config_variable, sizeof config_variable, "SPAN_CONFIG=%s", config_path);
}

static void tear_down(void)
{
    unlink(config_path);
}

START_TEST(defaults)
{
    ck_assert_int_eq(PARSE(NULL, T("prog")), 1);
    ck_assert_uint_eq(options.local, 1);
    ck_assert_uint_eq(options.node_count, 0);
    ck_assert_uint_eq(options_total_nodes(&options), 1);
    ck_assert_int_eq(options.place, PLACE_SPREAD);
    ck_assert_uint_eq(options.timeout_ms, SPAN_TIMEOUT_MS_DEFAULT);
    ck_assert(!options.no_pin && !options.no_patch && !options.no_follow && !options.stats && !options.verbose);
    ck_assert_ptr_null(options.key);
    ck_assert_int_eq(options.mode, SPAN_RUN);
    ck_assert_uint_eq(options.given, 0);
}
END_TEST

START_TEST(both_forms)
{
    ck_assert_int_eq(PARSE(NULL, T("--local"), T("3"), T("--nodes=a,b:80,[::1]:9"), T("--stats"), T("--place"),
                           T("pack"), T("--preload=x.so"), T("--argv0"), T(""), T("--timeout=0.25"), T("--no-pin"),
                           T("--list"), T("prog"), T("--local"), T("9")),
                     13);
    ck_assert_uint_eq(options.local, 3);
    ck_assert_uint_eq(options.node_count, 3);
    ck_assert_str_eq(options.node_addresses[0], "a");
    ck_assert_str_eq(options.node_addresses[1], "b:80");
    ck_assert_str_eq(options.node_addresses[2], "[::1]:9");
    ck_assert(options.stats && !options.stats_file && options.no_pin);
    ck_assert_int_eq(options.place, PLACE_PACK);
    ck_assert_uint_eq(options.timeout_ms, 250);
    ck_assert_str_eq(options.preload, "x.so");
    ck_assert_str_eq(options.argv0, "");
    ck_assert_int_eq(options.mode, SPAN_LIST);
}
END_TEST

START_TEST(end_of_options)
{
    ck_assert_int_eq(PARSE(NULL, T("--"), T("--local")), 2);
    ck_assert_int_eq(PARSE(NULL, T("--verbose")), 2);
    ck_assert_int_eq(PARSE(NULL, T("prog"), T("--verbose")), 1);
    ck_assert(!options.verbose);
}
END_TEST

START_TEST(option_over_variable_over_file)
{
    char *environment[] = {config_variable,  T("SPAN_LOCAL=3"), T("SPAN_NO_PATCH=yes"),
                           T("SPAN_PLACE="), T("SPAN_ID=7"),    NULL};
    config_write("# nodes\n\n  local = 2  # of my own\nplace=home\r\ntimeout = 4\n");
    ck_assert_int_eq(PARSE(NULL, T("prog")), 1);
    ck_assert_uint_eq(options.local, 2);
    ck_assert_int_eq(options.place, PLACE_HOME);
    ck_assert_uint_eq(options.timeout_ms, 4000);
    ck_assert_int_eq(PARSE(environment, T("prog")), 1);
    ck_assert_uint_eq(options.local, 3);
    ck_assert(options.no_patch);
    ck_assert_int_eq(options.place, PLACE_HOME);
    ck_assert_int_eq(PARSE(environment, T("--local=4"), T("--no-patch=no"), T("prog")), 3);
    ck_assert_uint_eq(options.local, 4);
    ck_assert(!options.no_patch);
    /* Started as PT_INTERP the arguments are the program's. */
    char *argv[] = {T("prog"), T("--local"), T("9"), NULL};
    ck_assert_int_ge(options_parse(&options, 3, argv, environment, false, why), 0);
    ck_assert_uint_eq(options.local, 3);
}
END_TEST

START_TEST(file_of_the_user)
{
    char directory[] = "/tmp/test_options.XXXXXX", path[64], home[64], xdg[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/span.conf", directory);
    snprintf(home, sizeof home, "HOME=%s/none", directory);
    snprintf(xdg, sizeof xdg, "XDG_CONFIG_HOME=%s", directory);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("local=5\n", file);
    fclose(file);
    char *environment[] = {home, xdg, NULL};
    ck_assert_int_eq(PARSE(environment, T("prog")), 1);
    ck_assert_uint_eq(options.local, 5);
    char *without[] = {home, NULL};
    ck_assert_int_eq(PARSE(without, T("prog")), 1);
    unlink(path);
    rmdir(directory);
}
END_TEST

static void refused(int result, const char *word)
{
    ck_assert_int_lt(result, 0);
    ck_assert_msg(strstr(why, word) && !strchr(why, '\n'), "\"%s\" lacks \"%s\"", why, word);
}

START_TEST(bad_values)
{
    refused(PARSE(NULL, T("--local"), T("0"), T("p")), "--local");
    refused(PARSE(NULL, T("--local=65"), T("p")), "--local");
    refused(PARSE(NULL, T("--local=2x"), T("p")), "2x");
    refused(PARSE(NULL, T("--local= 2"), T("p")), "--local");
    refused(PARSE(NULL, T("--local")), "needs a value");
    refused(PARSE(NULL, T("--place=far"), T("p")), "spread");
    refused(PARSE(NULL, T("--compress=zip"), T("p")), "always");
    refused(PARSE(NULL, T("--stats="), T("p")), "file");
    refused(PARSE(NULL, T("--timeout=never"), T("p")), "seconds");
    refused(PARSE(NULL, T("--timeout=-1"), T("p")), "seconds");
    refused(PARSE(NULL, T("--no-pin=maybe"), T("p")), "yes or no");
    refused(PARSE(NULL, T("--coproc=cuda"), T("p")), "off");
    refused(PARSE(NULL, T("--what"), T("p")), "not known");
    refused(PARSE(NULL, T("-v"), T("p")), "not known");
    refused(PARSE(NULL, T("--help=me"), T("p")), "no value");
    static const char *const nodes[] = {"a:0", "a:65536", "a:x", ":7", "a:", "[::1", "[]:3", "[::1]x", "a b/c"};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        refused(PARSE(NULL, T("--nodes"), T(nodes[i]), T("p")), "--nodes");
    char many[300] = "n";
    for (int i = 1; i < 64; i++)
        sprintf(many + strlen(many), ",n%d", i);
    refused(PARSE(NULL, T("--nodes"), many, T("p")), "too many");
    refused(PARSE(NULL, T("--local=63"), T("--nodes=a,b"), T("p")), "too many");
    static const char *const twice[] = {"a,b,a", "a,a:7171", "a:7171,b,a", "[::1],[::1]:7171"};
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++)
        refused(PARSE(NULL, T("--nodes"), T(twice[i]), T("p")), "twice");
    ck_assert_int_ge(PARSE(NULL, T("--nodes"), T("a,a:7,ab,a:71"), T("p")), 0);
    char *environment[] = {config_variable, T("SPAN_LOCAL=many"), NULL};
    refused(PARSE(environment, T("p")), "SPAN_LOCAL");
}
END_TEST

START_TEST(bad_files)
{
    static const char *const texts[][2] = {{"local=2\ncolour = red\n", "line 2: key \"colour\""},
                                           {"argv0 = x\n", "line 1: key"},
                                           {"local\n", "key = value"},
                                           {"local =\n", "no value"},
                                           {"local = two\n", "line 1"},
                                           {"= 3\n", "key"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        config_write(texts[i][0]);
        refused(PARSE(NULL, T("p")), texts[i][1]);
    }
    unlink(config_path);
    refused(PARSE(NULL, T("p")), "cannot be read");
    ck_assert_int_eq(mkdir(config_path, 0700), 0);
    refused(PARSE(NULL, T("p")), "not a text file");
    rmdir(config_path);
}
END_TEST

START_TEST(back_to_arguments)
{
    char out[1024], *argv[32] = {T("ld-span.so")};
    char *environment[] = {config_variable, T("SPAN_VERBOSE=1"), NULL};
    config_write("best-effort = yes\n");
    ck_assert_int_ge(PARSE(environment, T("--local=1"), T("--nodes"), T("a,b:1"), T("--stats=s.json"), T("--key=/k"),
                           T("--place=pack"), T("--compress=never"), T("--timeout=1.5"), T("--no-pin=no"),
                           T("--coproc=asif"), T("--trace=t.txt"), T("--library-path=/x"), T("p")),
                     0);
    struct span_options before = options;
    size_t count = options_serialize(&options, out, sizeof out, argv + 1, 30);
    ck_assert_uint_eq(count, 12);
    char *none[] = {T("SPAN_CONFIG=/dev/null"), NULL};
    ck_assert_int_eq(options_parse(&options, (int)count + 1, argv, none, true, why), (int)count + 1);
    ck_assert_uint_eq(options.given, before.given);
    ck_assert_uint_eq(options.local, 1);
    ck_assert_uint_eq(options.node_count, 2);
    ck_assert_str_eq(options.node_addresses[1], "b:1");
    ck_assert_str_eq(options.stats_file, before.stats_file);
    ck_assert_int_eq(options.stats_file[0], '/');
    ck_assert_str_eq(options.key, "/k");
    ck_assert_str_eq(options.trace, before.trace);
    ck_assert_int_eq(options.trace[0], '/');
    ck_assert_uint_eq(options.timeout_ms, 1500);
    ck_assert(options.verbose && options.best_effort && !options.no_pin && options.place == PLACE_PACK &&
              options.compress == WIRE_COMPRESS_NEVER);
    ck_assert_ptr_null(options.library_path);
    /* Every capacity that is too small is told, and nothing is written behind it. */
    for (size_t capacity = 0; capacity < 200; capacity++) {
        memset(out, '#', sizeof out);
        size_t got = options_serialize(&before, out, capacity, argv, 30);
        ck_assert(got == SIZE_MAX || got == count);
        ck_assert_int_eq(out[capacity], '#');
    }
    for (size_t slots = 0; slots < count; slots++)
        ck_assert_uint_eq(options_serialize(&before, out, sizeof out, argv, slots), SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *cases = tcase_create("options");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, both_forms);
    tcase_add_test(cases, end_of_options);
    tcase_add_test(cases, option_over_variable_over_file);
    tcase_add_test(cases, file_of_the_user);
    tcase_add_test(cases, bad_values);
    tcase_add_test(cases, bad_files);
    tcase_add_test(cases, back_to_arguments);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
