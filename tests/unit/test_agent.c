/*
 * The agent's loop with sessions that only echo, and the filter that sessions live under.
 * links: $(filter monitor/agent% monitor/peer_% runtime/channel% runtime/descriptor% runtime/cpu%,$(PARTS))
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor/agent.h"
#include "monitor/peer.h"
#include "monitor/peer_filter.h"
#include "runtime/pager.h"

static struct channel_key *key;
static char name[64];
static pid_t agent;

/* ---- what the agent needs and others implement ---- */

int pager_probe(char why[WIRE_MESSAGE_BYTES])
{
    (void)why;
    return 0;
}

/* Echoes one frame on each thread connection; ends when home does. */
int peer_run(struct channel *engine, int thread_socket, const struct wire_hello *hello)
{
    if (strcmp(hello->program, "deaf") == 0)
        for (;;)
            pause(); /* takes no threads, and ends only by a signal */
    for (;;) {
        struct pollfd pollfds[] = {{.fd = thread_socket, .events = POLLIN},
                                   {.fd = channel_fd(engine), .events = POLLIN}};
        poll(pollfds, 2, -1);
        if (pollfds[1].revents)
            return 0;
        int fd;
        if (peer_receive_thread(thread_socket, false, &fd) != 1)
            continue;
        struct channel *channel;
        struct wire_frame frame;
        char why[WIRE_MESSAGE_BYTES], bytes[64];
        if (channel_accept(fd, peer_key, 1000, &channel, why) == 0 &&
            channel_receive(channel, &frame, bytes, sizeof bytes) == 0) {
            struct iovec piece = {bytes, frame.bytes};
            channel_send(channel, WIRE_CALL, &piece, 1);
        }
    }
}

/* ---- the agent in a process of its own ---- */

static void agent_start(unsigned sessions_max, bool with_key)
{
    char why[WIRE_MESSAGE_BYTES];
    int fd = channel_listen("127.0.0.1:0", name, why);
    ck_assert_int_ge(fd, 0);
    agent = fork();
    if (agent == 0) {
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        signal(SIGTERM, SIG_DFL); /* Check's own would end the test */
        signal(SIGINT, SIG_DFL);
        struct agent_configuration configuration = {
            .listen_fd = fd, .sessions_max = sessions_max, .key = with_key ? key : NULL};
        _exit(agent_run(&configuration));
    }
    close(fd);
}

static void set_up(void)
{
    char why[WIRE_MESSAGE_BYTES], path[] = "/tmp/test_agent.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    char file[64];
    snprintf(file, sizeof file, "%s/key", path);
    ck_assert_int_eq(channel_key_create(file, why), 0);
    ck_assert_int_eq(channel_key_read(file, &key, why), 0);
    unlink(file);
    rmdir(path);
    agent = 0;
}

static void tear_down(void)
{
    int status = 0;
    if (agent) {
        kill(agent, SIGTERM);
        ck_assert_int_eq(waitpid(agent, &status, 0), agent);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    free(key);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct channel *dial(enum wire_kind kind, const char *id, const struct channel_key *with)
{
    uint8_t session[16] = {0};
    memcpy(session, id, strlen(id));
    struct channel *channel = NULL;
    char why[WIRE_MESSAGE_BYTES] = "";
    int result = channel_connect(name, kind, session, with, 3000, 0, &channel, why);
    ck_assert_msg(result == 0, "%s", why);
    return channel;
}

static void hello_make(struct wire_hello *hello, const char *program)
{
    *hello = (struct wire_hello){.magic = WIRE_MAGIC, .version = WIRE_VERSION, .node = 1, .node_count = 2};
    wire_cpu_probe(&hello->cpu);
    snprintf(hello->program, sizeof hello->program, "%s", program);
}

static int greet(struct channel *channel, const struct wire_hello *hello, struct wire_welcome *welcome)
{
    if (hello)
        ck_assert_int_eq(channel_send_bytes(channel, hello, sizeof *hello), 0);
    int error = channel_receive_bytes(channel, welcome, sizeof *welcome, 3000);
    if (error)
        return error;
    ck_assert_uint_eq(welcome->magic, WIRE_MAGIC);
    ck_assert_uint_eq(welcome->version, WIRE_VERSION);
    ck_assert_int_eq(welcome->status == WIRE_OK, welcome->message[0] == 0);
    return welcome->status;
}

/* Opens and greets. The channel when it was let in, with `expected` WIRE_OK. */
static struct channel *open_and_expect(enum wire_kind kind, const char *id, const char *program,
                                       const struct channel_key *with, enum wire_status expected, const char *word)
{
    struct channel *channel = dial(kind, id, with);
    struct wire_hello hello;
    struct wire_welcome welcome;
    hello_make(&hello, program);
    ck_assert_int_eq(greet(channel, kind == WIRE_KIND_THREAD ? NULL : &hello, &welcome), (int)expected);
    if (word)
        ck_assert_msg(strstr(welcome.message, word), "%s", welcome.message);
    if (expected == WIRE_OK)
        return channel;
    channel_close(channel);
    return NULL;
}

static void thread_echo(const char *id, const struct channel_key *with)
{
    struct channel *thread = dial(WIRE_KIND_THREAD, id, with);
    struct wire_frame frame;
    char bytes[64] = "over there";
    struct iovec piece = {bytes, 32};
    ck_assert_int_eq(channel_send(thread, WIRE_CALL, &piece, 1), 0);
    memset(bytes, 0, sizeof bytes);
    ck_assert_int_eq(channel_receive(thread, &frame, bytes, sizeof bytes), 0);
    ck_assert_str_eq(bytes, "over there");
    channel_close(thread);
}

/* ---- tests; loops 0 and 1: without and with a key ---- */

START_TEST(test_probe)
{
    agent_start(4, _i);
    struct channel *channel = dial(WIRE_KIND_PROBE, "", _i ? key : NULL);
    struct wire_hello hello;
    struct wire_welcome welcome;
    hello_make(&hello, "probe");
    ck_assert_int_eq(greet(channel, &hello, &welcome), WIRE_OK);
    ck_assert_uint_ge(welcome.cpu_count, 1);
    ck_assert_uint_ge(welcome.memory_bytes, 1 << 20);
    ck_assert_uint_eq(welcome.cpu.leaf1_edx, hello.cpu.leaf1_edx);
    char byte;
    ck_assert_int_eq(channel_receive_bytes(channel, &byte, 1, 3000), -EPIPE);
    channel_close(channel);
}
END_TEST

START_TEST(test_sessions_and_threads)
{
    agent_start(4, _i);
    const struct channel_key *with = _i ? key : NULL;
    struct channel *one = open_and_expect(WIRE_KIND_SESSION, "one", "program", with, WIRE_OK, NULL);
    struct channel *two = open_and_expect(WIRE_KIND_SESSION, "two", "program", with, WIRE_OK, NULL);
    for (int i = 0; i < 10; i++) {
        thread_echo("one", with);
        thread_echo("two", with);
    }
    open_and_expect(WIRE_KIND_SESSION, "one", "program", with, WIRE_REFUSED, "open already");
    open_and_expect(WIRE_KIND_THREAD, "three", NULL, with, WIRE_NO_SESSION, "no such session");
    channel_close(one);
    usleep(100000);
    open_and_expect(WIRE_KIND_THREAD, "one", NULL, with, WIRE_NO_SESSION, "has ended");
    open_and_expect(WIRE_KIND_SESSION, "one", "program", with, WIRE_REFUSED, "has ended");
    thread_echo("two", with);
    channel_close(two);
}
END_TEST

START_TEST(test_full)
{
    agent_start(2, _i);
    const struct channel_key *with = _i ? key : NULL;
    struct channel *one = open_and_expect(WIRE_KIND_SESSION, "one", "program", with, WIRE_OK, NULL);
    struct channel *two = open_and_expect(WIRE_KIND_SESSION, "two", "deaf", with, WIRE_OK, NULL);
    open_and_expect(WIRE_KIND_SESSION, "three", "program", with, WIRE_REFUSED, "as many sessions");
    open_and_expect(WIRE_KIND_PROBE, "", "program", with, WIRE_REFUSED, "as many sessions");
    channel_close(one);
    usleep(100000);
    struct channel *three = open_and_expect(WIRE_KIND_SESSION, "three", "program", with, WIRE_OK, NULL);
    channel_close(three);
    channel_close(two); /* which does not notice: the agent ends it */
}
END_TEST

START_TEST(test_refusals)
{
    agent_start(4, false);
    struct wire_hello hello;
    struct wire_welcome welcome;
    hello_make(&hello, "program");
    hello.version = WIRE_VERSION + 1;
    struct channel *channel = dial(WIRE_KIND_SESSION, "one", NULL);
    ck_assert_int_eq(greet(channel, &hello, &welcome), WIRE_BAD_VERSION);
    channel_close(channel);

    hello_make(&hello, "program");
    hello.cpu.ext1_ecx |= 1u << 16;
    hello.cpu.leaf7_edx |= 1u << 25;
    channel = dial(WIRE_KIND_SESSION, "two", NULL);
    ck_assert_int_eq(greet(channel, &hello, &welcome), WIRE_BAD_CPU);
    ck_assert_msg(strstr(welcome.message, "amx_int8"), "%s", welcome.message);
    channel_close(channel);

    /* By the preamble alone. */
    struct wire_preamble preamble = {.magic = WIRE_MAGIC, .version = WIRE_VERSION + 1, .kind = WIRE_KIND_SESSION};
    channel = dial(WIRE_KIND_PROBE, "", NULL);
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getpeername(channel_fd(channel), (struct sockaddr *)&address, &size);
    channel_close(channel);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(write(fd, &preamble, sizeof preamble), (ssize_t)sizeof preamble);
    ck_assert_int_eq(recv(fd, &welcome, sizeof welcome, MSG_WAITALL), (ssize_t)sizeof welcome);
    ck_assert_uint_eq(welcome.status, WIRE_BAD_VERSION);
    close(fd);

    /* Not ours at all: closed without a word. */
    fd = socket(address.ss_family, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(write(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36), 36);
    char byte;
    ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
    close(fd);
}
END_TEST

START_TEST(test_key_is_required)
{
    agent_start(4, true);
    open_and_expect(WIRE_KIND_SESSION, "one", "program", NULL, WIRE_REFUSED, "key");
    open_and_expect(WIRE_KIND_PROBE, "", "program", NULL, WIRE_REFUSED, "key");
    open_and_expect(WIRE_KIND_THREAD, "one", NULL, NULL, WIRE_REFUSED, "key");
}
END_TEST

START_TEST(test_agent_has_no_key)
{
    agent_start(4, false);
    struct channel *channel;
    char why[WIRE_MESSAGE_BYTES] = "";
    uint8_t id[16] = "one";
    ck_assert_int_lt(channel_connect(name, WIRE_KIND_SESSION, id, key, 3000, 0, &channel, why), 0);
    ck_assert_msg(strstr(why, "no key"), "%s", why);
}
END_TEST

START_TEST(test_slow_client_blocks_nobody)
{
    agent_start(4, _i);
    const struct channel_key *with = _i ? key : NULL;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    struct channel *probe = open_and_expect(WIRE_KIND_PROBE, "", "program", with, WIRE_OK, NULL);
    getpeername(channel_fd(probe), (struct sockaddr *)&address, &size);
    channel_close(probe);
    /* More than the agent keeps: silent ones, half a preamble, a session that never says hello. */
    int fds[100];
    struct wire_preamble preamble = {.magic = WIRE_MAGIC,
                                     .version = WIRE_VERSION,
                                     .kind = WIRE_KIND_SESSION,
                                     .flags = _i ? WIRE_PREAMBLE_TLS : 0,
                                     .session = "slow"};
    for (int i = 0; i < 100; i++) {
        fds[i] = socket(address.ss_family, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(fds[i], (struct sockaddr *)&address, size), 0);
        if (i % 3)
            ck_assert_int_gt(write(fds[i], &preamble, i == 1 ? sizeof preamble : sizeof preamble - 1), 0);
    }
    int64_t start = now_ms();
    struct channel *one = open_and_expect(WIRE_KIND_SESSION, "one", "program", with, WIRE_OK, NULL);
    thread_echo("one", with);
    ck_assert_int_lt(now_ms() - start, 1500);
    channel_close(one);
    for (int i = 0; i < 100; i++)
        close(fds[i]);
}
END_TEST

/* Loops: SIGTERM, SIGINT, and an agent that is killed takes its sessions along. */
START_TEST(test_end)
{
    const int signals[] = {SIGTERM, SIGINT, SIGKILL};
    agent_start(4, false);
    struct channel *one = open_and_expect(WIRE_KIND_SESSION, "one", "deaf", NULL, WIRE_OK, NULL);
    kill(agent, signals[_i]);
    int status;
    ck_assert_int_eq(waitpid(agent, &status, 0), agent);
    ck_assert_int_eq(status, signals[_i] == SIGKILL ? SIGKILL : 0);
    agent = 0;
    /* Nobody has the connection any more. */
    char byte;
    ck_assert_int_eq(channel_receive_bytes(one, &byte, 1, 1000), -EPIPE);
    channel_close(one);
}
END_TEST

/* ---- the filter ---- */

static void *other_thread(void *argument)
{
    (void)argument;
    /* The filter reaches threads that were there before. */
    while (syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) >= 0)
        usleep(1000);
    return errno == EPERM ? (void *)1 : NULL;
}

static int filtered(int test)
{
    int pair[2];
    pthread_t thread;
    if (test == 0)
        pthread_create(&thread, NULL, other_thread, NULL);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || peer_filter_install() < 0)
        return 10;
    char byte = 0;
    struct iovec local = {&byte, 1}, remote = {&test, 1};
    void *seen = NULL;
    switch (test) {
    case 0: /* what a session needs */
        if (pthread_join(thread, &seen) != 0 || !seen)
            return 11;
        if (pthread_create(&thread, NULL, other_thread, NULL) != 0 || pthread_join(thread, &seen) != 0 || !seen)
            return 12;
        if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            return 13;
        if (write(pair[0], "x", 1) != 1 || read(pair[1], &byte, 1) != 1)
            return 14;
        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
            return 15;
        return raise(SIGURG) == 0 && prctl(PR_SET_NAME, "filtered") == 0 && usleep(1) == 0 ? 0 : 16;
    case 1: /* what it must not have */
        if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EPERM)
            return 11;
        if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
            return 12;
        if (fork() >= 0 || errno != EPERM)
            return 13;
        if (kill(getppid(), 0) >= 0 || errno != EPERM)
            return 14;
        if (process_vm_readv(getppid(), &local, 1, &remote, 1, 0) >= 0 || errno != EPERM)
            return 15;
        if (ioctl(pair[0], TIOCGWINSZ, &byte) >= 0 || errno != EPERM)
            return 16;
        if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
            return 17;
        if (prctl(PR_SET_DUMPABLE, 1) >= 0 || errno != EPERM || unlink("/nowhere") >= 0 || errno != EPERM)
            return 18;
        return bind(pair[0], NULL, 0) < 0 && errno == EPERM ? 0 : 19;
    default:
        execl("/bin/true", "true", NULL);
        return 11;
    }
}

START_TEST(test_filter)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(filtered(_i));
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (_i == 2)
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    else
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent");
    TCase *agents = tcase_create("agent"), *filters = tcase_create("filter");
    tcase_add_checked_fixture(agents, set_up, tear_down);
    tcase_set_timeout(agents, 30);
    tcase_add_loop_test(agents, test_probe, 0, 2);
    tcase_add_loop_test(agents, test_sessions_and_threads, 0, 2);
    tcase_add_loop_test(agents, test_full, 0, 2);
    tcase_add_test(agents, test_refusals);
    tcase_add_test(agents, test_key_is_required);
    tcase_add_test(agents, test_agent_has_no_key);
    tcase_add_loop_test(agents, test_slow_client_blocks_nobody, 0, 2);
    tcase_add_loop_test(agents, test_end, 0, 3);
    tcase_add_loop_test(filters, test_filter, 0, 3);
    suite_add_tcase(suite, agents);
    suite_add_tcase(suite, filters);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
