/*
 * The system call table: a row for every call that the headers know, with the right arguments and a
 * reason. links: syscall/table.c
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syscall/table.h"

#define HEADER_X86_64  "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
#define HEADER_GENERIC "/usr/include/asm-generic/unistd.h"

static const struct call_row *row_find(const char *name)
{
    for (unsigned number = 0; number < CALL_COUNT; number++)
        if (call_table[number].name != NULL && strcmp(call_table[number].name, name) == 0)
            return &call_table[number];
    return NULL;
}

/* Calls that the generic list has and x86-64 does not, or under another name there. */
static bool call_is_foreign(const char *name)
{
    static const char *const foreign[] = {
        "syscalls", "arch_specific_syscall", "sync_file_range2", "fstat", "clock_gettime64",
    };
    size_t length = strlen(name);
    if (strncmp(name, "3264_", 5) == 0 || strstr(name, "_time64") != NULL)
        return true;
    if (length > 2 && strcmp(name + length - 2, "64") == 0 && row_find(name) == NULL)
        return true;
    for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        if (strcmp(name, foreign[i]) == 0)
            return true;
    return false;
}

START_TEST(every_number_of_the_header_has_its_row)
{
    FILE *header = fopen(HEADER_X86_64, "r");
    ck_assert_msg(header != NULL, "%s: %s", HEADER_X86_64, strerror(errno));
    char line[256], name[64];
    unsigned number, seen = 0;
    while (fgets(line, sizeof(line), header) != NULL) {
        if (sscanf(line, "#define __NR_%63s %u", name, &number) != 2)
            continue;
        ck_assert_msg(number < CALL_COUNT, "%s is number %u, the table ends before", name, number);
        ck_assert_msg(call_table[number].name != NULL, "%s (%u) has no row", name, number);
        ck_assert_str_eq(call_table[number].name, name);
        ck_assert_int_ne(call_table[number].place, CALL_UNKNOWN);
        seen++;
    }
    fclose(header);
    ck_assert_uint_ge(seen, 360);
}
END_TEST

START_TEST(every_generic_call_has_its_row)
{
    FILE *header = fopen(HEADER_GENERIC, "r");
    ck_assert_msg(header != NULL, "%s: %s", HEADER_GENERIC, strerror(errno));
    char line[256], name[64];
    unsigned number, seen = 0;
    while (fgets(line, sizeof(line), header) != NULL) {
        if (sscanf(line, "#define __NR_%63s %u", name, &number) != 2 || call_is_foreign(name))
            continue;
        const struct call_row *row = row_find(name);
        ck_assert_msg(row != NULL, "%s has no row", name);
        /* From pidfd_send_signal on, numbers are the same on every architecture. */
        if (number >= 424)
            ck_assert_ptr_eq(row, &call_table[number]);
        seen++;
    }
    fclose(header);
    ck_assert_uint_ge(seen, 250);
}
END_TEST

/* Numbers of the kernel's own table, of calls that the headers of this machine may not know. */
START_TEST(newer_calls_have_their_numbers)
{
    static const struct {
        unsigned number;
        const char *name;
    } calls[] = {
        {335, "uretprobe"},         {336, "uprobe"},           {424, "pidfd_send_signal"},
        {451, "cachestat"},         {452, "fchmodat2"},        {453, "map_shadow_stack"},
        {454, "futex_wake"},        {455, "futex_wait"},       {456, "futex_requeue"},
        {457, "statmount"},         {458, "listmount"},        {459, "lsm_get_self_attr"},
        {460, "lsm_set_self_attr"}, {461, "lsm_list_modules"}, {462, "mseal"},
        {463, "setxattrat"},        {464, "getxattrat"},       {465, "listxattrat"},
        {466, "removexattrat"},     {467, "open_tree_attr"},   {468, "file_getattr"},
        {469, "file_setattr"},
    };
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        ck_assert_msg(call_table[calls[i].number].name != NULL, "%s has no row", calls[i].name);
        ck_assert_str_eq(call_table[calls[i].number].name, calls[i].name);
    }
}
END_TEST

START_TEST(argument_counts_are_right)
{
    static const struct {
        const char *name;
        unsigned count;
    } calls[] = {
        {"read", 3},       {"openat", 4},          {"mmap", 6},          {"munmap", 2},
        {"brk", 1},        {"clone", 5},           {"clone3", 2},        {"fork", 0},
        {"execve", 3},     {"execveat", 5},        {"futex", 6},         {"futex_waitv", 5},
        {"ppoll", 5},      {"pselect6", 6},        {"epoll_pwait", 6},   {"epoll_pwait2", 6},
        {"preadv", 5},     {"preadv2", 6},         {"sendto", 6},        {"recvmmsg", 5},
        {"mremap", 5},     {"shmat", 3},           {"rt_sigaction", 4},  {"rt_sigprocmask", 4},
        {"waitid", 5},     {"statx", 5},           {"newfstatat", 4},    {"close_range", 3},
        {"dup3", 3},       {"prctl", 5},           {"arch_prctl", 2},    {"seccomp", 3},
        {"getcpu", 3},     {"sched_yield", 0},     {"getrandom", 3},     {"membarrier", 3},
        {"rseq", 4},       {"prlimit64", 4},       {"splice", 6},        {"io_uring_enter", 6},
        {"mount", 5},      {"fsconfig", 5},        {"keyctl", 5},        {"process_vm_readv", 6},
        {"msgrcv", 5},     {"semtimedop", 4},      {"setxattrat", 6},    {"file_getattr", 5},
        {"exit_group", 1}, {"set_robust_list", 2}, {"fanotify_mark", 5}, {"futex_requeue", 4},
    };
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        const struct call_row *row = row_find(calls[i].name);
        ck_assert_msg(row != NULL, "%s has no row", calls[i].name);
        ck_assert_msg(row->count == calls[i].count, "%s has %u arguments, not %u", calls[i].name, calls[i].count,
                      row->count);
    }
}
END_TEST

START_TEST(rows_are_consistent)
{
    for (unsigned number = 0; number < CALL_COUNT; number++) {
        const struct call_row *row = &call_table[number];
        const char *name = row->name != NULL ? row->name : "(gap)";
        ck_assert_msg(row->why != NULL && row->why[0] != '\0', "%s (%u) has no reason", name, number);
        ck_assert_msg((row->name == NULL) == (row->place == CALL_UNKNOWN), "%s (%u)", name, number);
        ck_assert_uint_le(row->place, CALL_UNKNOWN);
        ck_assert_uint_le(row->count, 6);
        if (row->place == CALL_REFUSED)
            ck_assert_msg(row->error != 0, "%s is refused without an errno", name);
        else if (row->place != CALL_UNKNOWN)
            ck_assert_msg(row->error == 0, "%s has an errno and is not refused", name);
        for (unsigned i = 0; i < 6; i++) {
            ck_assert_msg((row->arguments[i] != ARG_NONE) == (i < row->count), "%s, argument %u", name, i);
            ck_assert_uint_le(row->arguments[i], ARG_OPAQUE);
            if (i >= row->count)
                continue;
            /* A size that comes from an argument comes from another one that exists and is a number
             * or a pointer. */
            const struct call_size size = row->sizes[i];
            int other = size.argument == -2 ? size.bytes : size.argument;
            ck_assert_msg(other < row->count && other != (int)i, "%s, size of argument %u", name, i);
            if (size.argument == -2) {
                ck_assert_int_eq(row->arguments[other], ARG_INOUT);
            } else if (other >= 0) {
                ck_assert_msg(row->arguments[other] >= ARG_INT && row->arguments[other] <= ARG_SIZE,
                              "%s: argument %d is no size", name, other);
                ck_assert_uint_gt(size.bytes, 0);
            }
            if (row->arguments[i] >= ARG_IN && row->arguments[i] <= ARG_INOUT && size.argument == -1)
                ck_assert_msg(size.bytes > 0, "%s, argument %u points to nothing", name, i);
        }
    }
}
END_TEST

/* Where a wrong place would corrupt a program, the place is written down a second time. */
START_TEST(places_that_matter)
{
    static const struct {
        const char *name;
        enum call_place place;
    } calls[] = {
        {"mmap", CALL_EMULATED},
        {"munmap", CALL_EMULATED},
        {"mprotect", CALL_EMULATED},
        {"mremap", CALL_EMULATED},
        {"brk", CALL_EMULATED},
        {"madvise", CALL_EMULATED},
        {"shmat", CALL_EMULATED},
        {"shmdt", CALL_EMULATED},
        {"remap_file_pages", CALL_EMULATED},
        {"pkey_mprotect", CALL_EMULATED},
        {"clone", CALL_THREAD},
        {"clone3", CALL_THREAD},
        {"fork", CALL_THREAD},
        {"vfork", CALL_THREAD},
        {"execve", CALL_THREAD},
        {"execveat", CALL_THREAD},
        {"rt_sigreturn", CALL_THREAD},
        {"arch_prctl", CALL_THREAD},
        {"rseq", CALL_REFUSED},
        {"mseal", CALL_REFUSED},
        {"futex", CALL_HOME},
        {"read", CALL_HOME},
        {"exit_group", CALL_EMULATED},
        {"sched_yield", CALL_HERE},
    };
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        const struct call_row *row = row_find(calls[i].name);
        ck_assert_msg(row != NULL && row->place == calls[i].place, "%s", calls[i].name);
    }
    ck_assert_int_eq(row_find("rseq")->error, ENOSYS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("table");
    TCase *tests = tcase_create("table");
    tcase_add_test(tests, every_number_of_the_header_has_its_row);
    tcase_add_test(tests, every_generic_call_has_its_row);
    tcase_add_test(tests, newer_calls_have_their_numbers);
    tcase_add_test(tests, argument_counts_are_right);
    tcase_add_test(tests, rows_are_consistent);
    tcase_add_test(tests, places_that_matter);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
