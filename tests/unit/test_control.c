/*
 * The control socket: where it lies, who may ask, what is answered, and what is left behind.
 * links: monitor/control.c runtime/descriptor.c
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/control.h"

static char place[64], directory[CONTROL_PATH_BYTES], path[CONTROL_PATH_BYTES];

static char *status(void)
{
    return strdup("{\"pid\":1}");
}

static char *statistics(void)
{
    size_t bytes = 300000; /* more than a socket buffer */
    char *text = malloc(bytes + 1);
    memset(text, ' ', bytes);
    text[0] = '{';
    text[bytes - 1] = '}';
    text[bytes] = 0;
    return text;
}

static int migrate(pid_t tid, unsigned node)
{
    return tid != 77 ? -ESRCH : node > 1 ? -EINVAL : node == 1 ? 0 : -EBUSY;
}

static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    close(fd);
    return moved;
}

static char *threads(void)
{
    return strdup("{\"threads\":[]}");
}

static const struct control_operations operations = {
    .status = status, .statistics = statistics, .threads = threads, .migrate = migrate};

static void set_up(void)
{
    strcpy(place, "/tmp/control-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place));
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", place, 1), 0);
    ck_assert_int_eq(control_directory(directory), 0);
    ck_assert_int_eq(control_path(getpid(), path), 0);
}

static void tear_down(void)
{
    control_stop();
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", place);
    ck_assert_int_eq(system(command), 0);
}

static int client_open(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, where);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

static const char *ask(int fd, const char *request)
{
    static char answer[400000];
    size_t used = 0;
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while (used == 0 || answer[used - 1] != '\n') {
        ssize_t got = recv(fd, answer + used, sizeof answer - used, 0);
        if (got <= 0)
            return "";
        used += (size_t)got;
    }
    answer[used - 1] = 0;
    return answer;
}

START_TEST(requests_are_answered)
{
    struct stat info;
    ck_assert_int_eq(control_start(&operations, move_up), 0);
    ck_assert_int_eq(control_start(&operations, move_up), -EALREADY);
    ck_assert_int_eq(lstat(directory, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0700);
    ck_assert_int_eq(fcntl(500, F_GETFD), FD_CLOEXEC); /* the listener has been moved out of the way */
    int fd = client_open(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_str_eq(ask(fd, "status\n"), "{\"pid\":1}");
    ck_assert_uint_eq(strlen(ask(fd, "stats\n")), 300000);
    ck_assert_str_eq(ask(fd, "threads\n"), "{\"threads\":[]}");
    ck_assert_str_eq(ask(fd, "migrate 77 1\n"), "{\"migrating\":true}");
    static const char *const wrong[] = {"migrate 78 1\n",   "migrate 77 9\n", "migrate 77 0\n", "migrate 77\n",
                                        "migrate 77 1 1\n", "migrate -1 1\n", "migrate \n",     "\n",
                                        "reboot\n"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_msg(strncmp(ask(fd, wrong[i]), "{\"error\":\"", 10) == 0, "%s", wrong[i]);
    /* One and a half in one packet. */
    ck_assert_str_eq(ask(fd, "status\nsta"), "{\"pid\":1}");
    ck_assert_str_eq(ask(fd, "tus\n"), "{\"pid\":1}");
    close(fd);
    /* A line without an end is cut off, and the next client served. */
    char line[200];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = 0;
    fd = client_open(path);
    ck_assert_str_eq(ask(fd, line), "");
    close(fd);
    fd = client_open(path);
    ck_assert_str_eq(ask(fd, "status\n"), "{\"pid\":1}");
    close(fd);
    control_stop();
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static void socket_leave(const char *where, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, where);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (listening)
        ck_assert_int_eq(listen(fd, 1), 0);
    else
        close(fd);
}

START_TEST(what_was_left_is_removed)
{
    char dead[CONTROL_PATH_BYTES], alive[CONTROL_PATH_BYTES];
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    ck_assert_int_eq(control_path(child, dead), 0);
    ck_assert_int_eq(control_path(getppid(), alive), 0);
    socket_leave(dead, false);
    socket_leave(alive, false);
    socket_leave(path, false); /* ours, from before an exec */
    ck_assert_int_eq(control_start(&operations, NULL), 0);
    ck_assert_int_eq(access(dead, F_OK), -1);
    ck_assert_int_eq(access(alive, F_OK), 0);
    int fd = client_open(path);
    ck_assert_str_eq(ask(fd, "status\n"), "{\"pid\":1}");
    close(fd);
}
END_TEST

START_TEST(a_socket_in_use_is_left_alone)
{
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    socket_leave(path, true);
    ck_assert_int_eq(control_start(&operations, NULL), -EADDRINUSE);
    control_stop();
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_directory_of_others_is_refused)
{
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    ck_assert_int_eq(chmod(directory, 0777), 0);
    ck_assert_int_eq(control_start(&operations, NULL), -EPERM);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_assert_int_eq(symlink("/tmp", directory), 0);
    ck_assert_int_eq(control_start(&operations, NULL), -EPERM);
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "/nowhere", 1), 0);
    ck_assert_int_eq(control_start(&operations, NULL), -ENOENT);
    char long_name[200];
    memset(long_name, '/', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", long_name, 1), 0);
    ck_assert_int_eq(control_start(&operations, NULL), -ENAMETOOLONG);
    ck_assert_int_eq(setenv("XDG_RUNTIME_DIR", "relative", 1), 0);
    ck_assert_int_eq(control_directory(directory), 0);
    ck_assert_int_eq(strncmp(directory, "/tmp/ld-span-", 13), 0);
}
END_TEST

START_TEST(other_users_are_not_answered)
{
    if (geteuid() != 0)
        return; /* only root can become another user */
    ck_assert_int_eq(control_start(&operations, NULL), 0);
    ck_assert_int_eq(chmod(place, 0755), 0);
    ck_assert_int_eq(chmod(directory, 0755), 0);
    ck_assert_int_eq(chmod(path, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        if (setuid(65534) != 0)
            _exit(2);
        int fd = client_open(path);
        char byte;
        _exit(fd >= 0 && recv(fd, &byte, 1, 0) == 0 ? 0 : 1);
    }
    int end;
    ck_assert_int_eq(waitpid(child, &end, 0), child);
    ck_assert_int_eq(end, 0);
}
END_TEST

START_TEST(a_child_leaves_it_alone)
{
    ck_assert_int_eq(control_start(&operations, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        control_stop(); /* as after vfork */
        control_forget();
        control_stop();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control");
    TCase *tests = tcase_create("control");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, requests_are_answered);
    tcase_add_test(tests, what_was_left_is_removed);
    tcase_add_test(tests, a_socket_in_use_is_left_alone);
    tcase_add_test(tests, a_directory_of_others_is_refused);
    tcase_add_test(tests, other_users_are_not_answered);
    tcase_add_test(tests, a_child_leaves_it_alone);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
