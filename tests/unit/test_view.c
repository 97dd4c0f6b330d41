/*
 * The view: masks as the kernel would have them for the session's processors, files that tell of
 * them, the exe link. links: monitor/view.c monitor/view_files.c monitor/view_affinity.c
 * monitor/view_quick.c monitor/fatal.c
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/session.h"
#include "monitor/view.h"

#define MANY 70u /* processors of node 1 in the sessions below */

static unsigned home_count;

static void two_nodes(void)
{
    home_count = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned counts[] = {home_count, MANY};
    view_initialise(2, counts);
}

static char *read_all(int fd)
{
    static char text[1 << 20];
    size_t used = 0;
    ssize_t got;
    while ((got = read(fd, text + used, sizeof text - used - 1)) > 0)
        used += (size_t)got;
    ck_assert_int_eq(got, 0);
    text[used] = 0;
    return text;
}

static char *view_read(const char *path)
{
    int fd = view_open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "%s: %d", path, fd);
    ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    char *text = read_all(fd);
    close(fd);
    return text;
}

static unsigned count_lines(const char *text, const char *start)
{
    unsigned count = 0;
    for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n'), line += line != NULL)
        count += strncmp(line, start, strlen(start)) == 0;
    return count;
}

START_TEST(special_paths)
{
    ck_assert(view_path_is_special("/proc/cpuinfo"));
    ck_assert(view_path_is_special("/proc/self/exe"));
    ck_assert(view_path_is_special("//proc/self/exe"));
    ck_assert(view_path_is_special("/./proc/self/exe"));
    ck_assert(view_path_is_special("/sys/devices/system/cpu/online"));
    ck_assert(!view_path_is_special("/sys/devices/system/node/online"));
    ck_assert(!view_path_is_special("/usr/lib/x"));
    ck_assert(!view_path_is_special("proc/cpuinfo"));
    ck_assert(!view_path_is_special("/proc"));
    ck_assert(!view_path_is_special("/p"));
    ck_assert(!view_path_is_special("/"));
    ck_assert(!view_path_is_special(""));
}
END_TEST

START_TEST(one_node_is_the_machine)
{
    const unsigned one[] = {(unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
    view_initialise(1, one);
    cpu_set_t ours, kernels;
    long a = view_sched_getaffinity(0, sizeof ours, &ours);
    long b = syscall(SYS_sched_getaffinity, 0, sizeof kernels, &kernels);
    ck_assert_int_eq(a, b);
    ck_assert_mem_eq(&ours, &kernels, (size_t)a);
    ck_assert_int_eq(view_open("/proc/cpuinfo", O_RDONLY), -ENOSYS);
    ck_assert_int_eq(view_sched_getaffinity(0, 3, &ours), -EINVAL);
    ck_assert_int_eq(view_sched_setaffinity(0, sizeof ours, memset(&ours, 0, sizeof ours)), -EINVAL);
}
END_TEST

/* As many processors as the machine has, divided: files need not be made, masks are the session's.
 */
START_TEST(same_total)
{
    const unsigned counts[] = {1, (unsigned)sysconf(_SC_NPROCESSORS_ONLN) - 1};
    if (counts[1] == 0)
        return;
    view_initialise(2, counts);
    ck_assert_int_eq(view_open("/proc/cpuinfo", O_RDONLY), -ENOSYS);
    cpu_set_t mask;
    ck_assert_int_gt(view_sched_getaffinity(0, sizeof mask, memset(&mask, 0, sizeof mask)), 0);
    ck_assert_int_eq(CPU_COUNT(&mask), (int)(counts[0] + counts[1]));
}
END_TEST

START_TEST(masks_span_the_nodes)
{
    two_nodes();
    cpu_set_t mask, back;
    CPU_ZERO(&mask);
    long bytes = view_sched_getaffinity(0, sizeof mask, &mask);
    ck_assert_int_ge(bytes, (home_count + MANY + 63) / 64 * 8);
    ck_assert_int_eq(bytes % 8, 0);
    ck_assert_int_eq(CPU_COUNT(&mask), (int)(home_count + MANY));
    ck_assert(CPU_ISSET(home_count + MANY - 1, &mask));
    ck_assert_uint_eq(view_affinity_nodes(gettid()), UINT64_MAX);

    CPU_ZERO(&mask);
    CPU_SET(home_count + 3, &mask);
    CPU_SET(1000, &mask); /* there is no such processor: ignored */
    ck_assert_int_eq(view_sched_setaffinity(0, sizeof mask, &mask), 0);
    CPU_ZERO(&back);
    ck_assert_int_eq(view_sched_getaffinity(gettid(), sizeof back, &back), bytes);
    ck_assert_int_eq(CPU_COUNT(&back), 1);
    ck_assert(CPU_ISSET(home_count + 3, &back));
    ck_assert_uint_eq(view_affinity_nodes(gettid()), 2);

    /* A thread inherits, and one that ends is forgotten. */
    view_thread_created(gettid(), 0x7ffffffe);
    ck_assert_uint_eq(view_affinity_nodes(0x7ffffffe), 2);
    view_thread_ended(0x7ffffffe);
    ck_assert_uint_eq(view_affinity_nodes(0x7ffffffe), UINT64_MAX);
    view_thread_ended(gettid());
    CPU_ZERO(&back);
    view_sched_getaffinity(0, sizeof back, &back);
    ck_assert_int_eq(CPU_COUNT(&back), (int)(home_count + MANY));
}
END_TEST

START_TEST(mask_errors)
{
    two_nodes();
    uint64_t mask[16] = {0};
    ck_assert_int_eq(view_sched_setaffinity(0, sizeof mask, mask), -EINVAL);
    ck_assert_int_eq(view_sched_setaffinity(0, 0, mask), -EINVAL);
    mask[15] = 1;
    ck_assert_int_eq(view_sched_setaffinity(0, sizeof mask, mask), -EINVAL);
    mask[0] = 1;
    ck_assert_int_eq(view_sched_setaffinity(0, 1, mask), 0);       /* a short one is padded with zeros */
    ck_assert_int_eq(view_sched_getaffinity(0, 8, mask), -EINVAL); /* too small for 72 processors */
    ck_assert_int_eq(view_sched_getaffinity(0, sizeof mask - 1, mask), -EINVAL);
    ck_assert_int_eq(view_sched_getaffinity(-1, sizeof mask, mask), -ESRCH);
    ck_assert_int_eq(view_sched_getaffinity(0x7ffffffe, sizeof mask, mask), -ESRCH);
    /* Another process is the kernel's business. */
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    uint64_t kernels[16] = {0}, ours[16] = {0};
    long a = syscall(SYS_sched_getaffinity, child, sizeof kernels, kernels);
    ck_assert_int_eq(view_sched_getaffinity(child, sizeof ours, ours), a);
    ck_assert_mem_eq(ours, kernels, sizeof ours);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
END_TEST

/* The session's: home's processors are this machine's, as the kernel numbers them. */
int session_processor(unsigned number)
{
    return number < home_count ? (int)number : -1;
}

void session_unpin(void)
{
}

START_TEST(exec_keeps_home_part)
{
    two_nodes();
    cpu_set_t mask, kernels;
    CPU_ZERO(&mask);
    CPU_SET(0, &mask);
    CPU_SET(home_count, &mask);
    ck_assert_int_eq(view_sched_setaffinity(0, sizeof mask, &mask), 0);
    ck_assert_int_eq(sched_getaffinity(0, sizeof kernels, &kernels), 0);
    ck_assert_int_eq(CPU_COUNT(&kernels), (int)home_count);
    view_before_exec(gettid());
    ck_assert_int_eq(sched_getaffinity(0, sizeof kernels, &kernels), 0);
    ck_assert_int_eq(CPU_COUNT(&kernels), 1);
}
END_TEST

START_TEST(files_tell_of_all_processors)
{
    two_nodes();
    char line[32];
    char *text = view_read("/proc/cpuinfo");
    ck_assert_uint_eq(count_lines(text, "processor\t: "), home_count + MANY);
    snprintf(line, sizeof line, "processor\t: %u\n", home_count + MANY - 1);
    ck_assert_ptr_nonnull(strstr(text, line));
    ck_assert_uint_eq(count_lines(text, "flags\t\t: "), home_count + MANY);
    ck_assert_str_eq(text + strlen(text) - 2, "\n\n");
    ck_assert_uint_ge(count_lines(view_read("//proc/./cpuinfo"), "processor"), home_count + MANY);

    text = view_read("/proc/stat");
    ck_assert_uint_eq(count_lines(text, "cpu"), home_count + MANY + 1);
    ck_assert_uint_eq(count_lines(text, "cpu71 0 0 0 "), home_count + MANY > 71 ? 1 : 0);
    ck_assert_uint_eq(count_lines(text, "btime "), 1);

    snprintf(line, sizeof line, "0-%u\n", home_count + MANY - 1);
    ck_assert_str_eq(view_read("/sys/devices/system/cpu/online"), line);
    ck_assert_str_eq(view_read("/sys/devices/system/cpu/possible"), line);
    ck_assert_str_eq(view_read("/sys/devices/system/cpu/present"), line);
    ck_assert_int_ge(atoi(view_read("/sys/devices/system/cpu/kernel_max")), (int)(home_count + MANY - 1));
    const unsigned fewer[] = {1, 0};
    view_initialise(2, fewer);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
        ck_assert_uint_eq(count_lines(view_read("/proc/cpuinfo"), "processor"), 1);
        ck_assert_uint_eq(count_lines(view_read("/proc/stat"), "cpu"), 2);
        ck_assert_str_eq(view_read("/sys/devices/system/cpu/online"), "0\n");
    }
}
END_TEST

START_TEST(not_ours)
{
    two_nodes();
    view_exe_path("/usr/bin/env");
    ck_assert_int_eq(view_open("/proc/version", O_RDONLY), -ENOSYS);
    ck_assert_int_eq(view_open("/proc/cpuinfo", O_RDWR), -ENOSYS);
    ck_assert_int_eq(view_open("/proc/cpuinfo", O_RDONLY | O_DIRECTORY), -ENOSYS);
    ck_assert_int_eq(view_open("/proc/../proc/cpuinfo", O_RDONLY), -ENOSYS);
    ck_assert_int_eq(view_open("/proc/1/exe", O_RDONLY), -ENOSYS);
    ck_assert_int_eq(view_open("/sys/devices/system/cpu/cpu0/online", O_RDONLY), -ENOSYS);
    ck_assert_int_eq(view_open("/proc/self/exe", O_PATH | O_NOFOLLOW), -ENOSYS);
}
END_TEST

START_TEST(descriptors)
{
    two_nodes();
    int gap = open("/dev/null", O_RDONLY);
    close(gap);
    int fd = view_open("/proc/cpuinfo", O_RDONLY);
    ck_assert_int_eq(fd, gap); /* the lowest that is free */
    ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
    ck_assert_int_eq(write(fd, "x", 1), -1);
    close(fd);
    fd = view_open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    int next = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(next, fd + 1); /* nothing is left open */
    close(next);
    close(fd);
}
END_TEST

static void *read_links(void *unused)
{
    (void)unused;
    char path[64], target[PATH_MAX];
    const char *const forms[] = {"/proc/self/exe", "/proc/thread-self/exe", "//proc//self/exe", "/proc/self/./exe"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        ck_assert_int_eq(view_readlink(forms[i], target, sizeof target), (long)strlen("/usr/bin/env"));
    const int ids[] = {getpid(), gettid()};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/exe", ids[i]);
        ck_assert_int_eq(view_readlink(path, target, sizeof target), (long)strlen("/usr/bin/env"));
        snprintf(path, sizeof path, "/proc/self/task/%d/exe", ids[i]);
        ck_assert_int_eq(view_readlink(path, target, sizeof target), (long)strlen("/usr/bin/env"));
    }
    return NULL;
}

START_TEST(exe_link)
{
    char target[PATH_MAX];
    view_exe_path("/usr/bin/../bin/env");
    view_pid_is(getpid());
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, read_links, NULL), 0);
    pthread_join(thread, NULL);
    read_links(NULL);
    ck_assert_int_eq(view_readlink("/proc/self/exe", target, 4), 4);
    ck_assert_mem_eq(target, "/usr", 4);
    ck_assert_int_eq(view_readlink("/proc/self/exe", target, 0), -EINVAL);
    ck_assert_int_eq(view_readlink("/proc/1/exe", target, sizeof target), -ENOSYS);
    ck_assert_int_eq(view_readlink("/proc/self/exec", target, sizeof target), -ENOSYS);
    ck_assert_int_eq(view_readlink("/proc/self/task/self/exe", target, sizeof target), -ENOSYS);
    ck_assert_int_eq(view_readlink("/proc/99999999999999999999/exe", target, sizeof target), -ENOSYS);
    ck_assert(view_exe_of("/proc/self/exe", target, sizeof target));
    ck_assert_str_eq(target, "/usr/bin/env");
    ck_assert(!view_exe_of("/proc/self/exe", target, 5));
    ck_assert(!view_exe_of("/proc/self/cwd", target, sizeof target));
    int fd = view_open("/proc/self/exe", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(read(fd, target, 4), 4);
    ck_assert_mem_eq(target, "\177ELF", 4);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("view");
    TCase *tests = tcase_create("view");
    tcase_add_test(tests, special_paths);
    tcase_add_test(tests, one_node_is_the_machine);
    tcase_add_test(tests, same_total);
    tcase_add_test(tests, masks_span_the_nodes);
    tcase_add_test(tests, mask_errors);
    tcase_add_test(tests, exec_keeps_home_part);
    tcase_add_test(tests, files_tell_of_all_processors);
    tcase_add_test(tests, not_ours);
    tcase_add_test(tests, descriptors);
    tcase_add_test(tests, exe_link);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
