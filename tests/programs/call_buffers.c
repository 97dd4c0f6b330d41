/*
 * What calls read and write, whatever memory it is in and however much it is: on the stack, at the end of the last page
 * that is mapped, across pages, never touched before, not writable, not there.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "behaviour.h"

#define PAGE   4096
#define PAGES  20
#define BUFFER ((PAGES - 1) * PAGE)

static const size_t sizes[] = {1, 64, 511, 4096, 8192, 16384, 17408, 17409, 20000, 60000};

/* Memory whose last page is followed by nothing; `touched`: written to by this thread. */
static char *memory_make(int touched)
{
    char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED && munmap(memory + BUFFER, PAGE) == 0);
    if (touched)
        memset(memory, 0x5a, BUFFER);
    return memory;
}

/* Bytes before and behind a buffer that the kernel wrote have to be as they were. */
static void around_check(const char *memory, const char *buffer, size_t size)
{
    for (const char *at = memory; at < memory + BUFFER; at++)
        if (at < buffer || at >= buffer + size)
            CHECK(*at == 0x5a);
}

static void bytes_pass(int to, int from, size_t size, unsigned long offset)
{
    char *out = memory_make(1), *in = memory_make(1), *fresh = memory_make(0);
    char *source = out + BUFFER - size - offset, *target = in + BUFFER - size - offset;
    for (size_t i = 0; i < size; i++)
        source[i] = (char)(i * 7 + size);
    CHECK(write(to, source, size) == (ssize_t)size);
    CHECK(read(from, target, size) == (ssize_t)size && memcmp(source, target, size) == 0);
    around_check(in, target, size);
    CHECK(write(to, source, size) == (ssize_t)size);
    CHECK(read(from, fresh, size) == (ssize_t)size && memcmp(source, fresh, size) == 0);
    /* Less than was asked for: the rest stays. */
    memset(in, 0x5a, BUFFER);
    CHECK(write(to, source, 1) == 1);
    CHECK(read(from, target, size) == 1 && *target == *source);
    around_check(in, target, 1);
    munmap(out, BUFFER);
    munmap(in, BUFFER);
    munmap(fresh, BUFFER);
}

/* Vectors, of which parts are empty, short or far from each other. */
static void vectors(int to, int from)
{
    char *memory = memory_make(1), text[] = "abcdefghijklmnopqrstuvwxyz";
    volatile int negative = -1;
    struct iovec out[3] = {{text, 5}, {NULL, 0}, {text + 10, 16}};
    struct iovec in[4] = {{memory, 1}, {memory + PAGE - 2, 4}, {memory + 9, 0}, {memory + BUFFER - 100, 100}};
    CHECK(writev(to, out, 3) == 21 && readv(from, in, 4) == 21);
    CHECK(*memory == 'a' && memory[1] == 0x5a &&
          memcmp(memory + PAGE - 3,
                 "\x5a"
                 "bcde\x5a",
                 6) == 0 &&
          memcmp(memory + BUFFER - 100, "klmnopqrstuvwxyz\x5a", 17) == 0);
    CHECK(writev(to, out, negative) == -1 && errno == EINVAL && writev(to, out, 0) == 0 && readv(from, in + 2, 1) == 0);
    struct iovec wrong[2] = {{text, 3}, {memory + BUFFER, 3}}, huge[2] = {{memory, BUFFER}, {memory, 10000}};
    CHECK(writev(to, wrong, 2) == -1 && errno == EFAULT);
    CHECK(writev(to, (struct iovec *)(memory + BUFFER), 1) == -1 && errno == EFAULT);
    CHECK(writev(to, huge, 2) == BUFFER + 10000 && readv(from, huge, 2) == BUFFER + 10000);
    int file = memfd_create("file", 0);
    CHECK(pwritev(file, wrong, 2, 0) == 3); /* as far as it is there */
    CHECK(pwritev(file, out, 3, 100) == 21 && preadv(file, in, 2, 101) == 5 && *memory == 'b');
    close(file);
    munmap(memory, BUFFER);
}

static void what_is_not_there(int to, int from)
{
    char *memory = memory_make(1);
    CHECK(write(to, memory + BUFFER, 8) == -1 && errno == EFAULT);
    CHECK(write(to, memory + BUFFER - 4, 4) == 4);
    CHECK(mprotect(memory, PAGE, PROT_READ) == 0);
    CHECK(read(from, memory, 4) == -1 && errno == EFAULT);
    CHECK(read(from, memory + BUFFER, 4) == -1 && errno == EFAULT);
    CHECK(read(-1, memory, 4) == -1 && errno == EBADF);
    CHECK(read(from, memory + PAGE, 4) == 4);
    int file = memfd_create("file", 0);
    CHECK(pwrite(file, memory + BUFFER - 64, 128, 0) == 64); /* as far as it is there */
    CHECK(pread(file, memory + BUFFER - 64, 128, 0) == 64);
    CHECK(open(memory + BUFFER, O_RDONLY) == -1 && errno == EFAULT);
    memset(memory + BUFFER - 8, 'x', 8);
    CHECK(open(memory + BUFFER - 8, O_RDONLY) == -1 && errno == EFAULT); /* no end */
    CHECK(fstat(file, (struct stat *)memory) == -1 && errno == EFAULT);
    CHECK(fstat(file, (struct stat *)(memory + BUFFER - 8)) == -1 && errno == EFAULT);
    CHECK(getcwd(memory + BUFFER, 100) == NULL && errno == EFAULT);
    close(file);
    munmap(memory, BUFFER);
}

static void names(void)
{
    char *memory = memory_make(1), name[PATH_MAX], file[64];
    snprintf(file, sizeof file, "buffers-%d", gettid());
    int fd = open(file, O_CREAT | O_RDWR | O_EXCL, 0600);
    CHECK(fd >= 0 && access(file, R_OK) == 0);
    char *at_end = memory + BUFFER - strlen(file) - 1;
    strcpy(at_end, file);
    struct stat one, two, three;
    CHECK(fstat(fd, &one) == 0 && stat(at_end, &two) == 0 && fstatat(AT_FDCWD, at_end, &three, 0) == 0);
    CHECK(one.st_ino == two.st_ino && two.st_ino == three.st_ino && S_ISREG(two.st_mode));
    struct statx extended;
    CHECK(statx(AT_FDCWD, at_end, 0, STATX_INO, &extended) == 0 && extended.stx_ino == one.st_ino);
    char link[80];
    snprintf(link, sizeof link, "%s-link", file);
    CHECK(symlink(file, link) == 0);
    memset(memory, 0x5a, 100);
    CHECK(readlink(link, memory, 7) == 7 && memcmp(memory, "buffers", 7) == 0 && memory[7] == 0x5a);
    CHECK(readlink(link, memory, 100) == (ssize_t)strlen(file) && memory[strlen(file)] == 0x5a);
    CHECK(rename(link, file) == 0 && unlink(file) == 0 && access(file, F_OK) == -1 && errno == ENOENT);
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    CHECK(open(name, O_RDONLY) == -1 && errno == ENAMETOOLONG);
    memset(name + 250, 0, 10);
    CHECK(open(name, O_RDONLY) == -1 && errno == ENOENT);
    name[200] = '/';
    memset(name + 201, '/', 3000);
    CHECK(open(name, O_RDONLY) == -1 && errno == ENOENT);
    CHECK(getcwd(name, sizeof name) && name[0] == '/' && getcwd(memory, 2) == NULL && errno == ERANGE);
    close(fd);
    munmap(memory, BUFFER);
}

static void sockets(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, other;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0 && length == sizeof address);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    memset(&other, 0x5a, sizeof other);
    length = 4; /* less than there is, of which the length tells */
    int server = accept(listener, (struct sockaddr *)&other, &length);
    CHECK(server >= 0 && length == sizeof other && other.sin_family == AF_INET && other.sin_addr.s_addr == 0x5a5a5a5a);
    length = 0;
    CHECK(getpeername(server, (struct sockaddr *)&other, &length) == 0 && length == sizeof other);
    length = sizeof other;
    CHECK(getpeername(client, (struct sockaddr *)&other, &length) == 0 && other.sin_port == address.sin_port);
    close(server);
    close(client);
    close(listener);
    int ends[2];
    char text[8] = "zzzzzzz";
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 && send(ends[0], "abcdefgh", 8, 0) == 8);
    CHECK(recv(ends[1], text, 3, MSG_TRUNC) == 8 && memcmp(text, "abczzzz", 7) == 0);
    int option = 0;
    length = 2;
    CHECK(getsockopt(ends[0], SOL_SOCKET, SO_TYPE, &option, &length) == 0 && length == 2 && option == SOCK_DGRAM);
    struct timeval limit = {1, 0};
    CHECK(setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &limit, 1) == -1 && errno == EINVAL);
    close(ends[0]);
    close(ends[1]);
}

static void waiting(int to, int from)
{
    struct pollfd ready[3] = {{from, POLLIN, 7}, {to, POLLOUT, 7}, {-1, POLLIN, 7}};
    CHECK(poll(ready, 3, 0) == 1 && ready[0].revents == 0 && ready[1].revents == POLLOUT && ready[2].revents == 0);
    int set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u64 = 0x123456789abcdef0}}, events[4];
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, from, &event) == 0 && write(to, "x", 1) == 1);
    memset(events, 0x5a, sizeof events);
    CHECK(epoll_wait(set, events, 4, 1000) == 1 && events[0].data.u64 == 0x123456789abcdef0);
    CHECK(((char *)events)[sizeof events[0]] == 0x5a);
    CHECK(epoll_ctl(set, EPOLL_CTL_DEL, from, NULL) == 0 && epoll_wait(set, events, 4, 0) == 0);
    CHECK(epoll_wait(set, events, 0, 0) == -1 && errno == EINVAL);
    sigset_t none;
    sigemptyset(&none);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, from, &event) == 0 && epoll_pwait(set, events, 4, 0, NULL) == 1 &&
          epoll_pwait(set, events, 4, 0, &none) == 1);
    struct timespec moment = {0, 1000}, wrong = {0, -1}, left = {7, 7};
    CHECK(nanosleep(&moment, NULL) == 0 && nanosleep(&moment, &left) == 0 && left.tv_sec == 7);
    CHECK(nanosleep(&wrong, NULL) == -1 && errno == EINVAL && clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL) == 0);
    CHECK(poll(ready, 1, 1000) == 1 && ready[0].revents == POLLIN && read(from, events, 4) == 1);
    close(set);
    struct rlimit limit, same;
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && prlimit(0, RLIMIT_CORE, &limit, &same) == 0 &&
          limit.rlim_cur == same.rlim_cur);
}

/* A message with a name, parts, and a descriptor in its control data; and what is written of the struct msghdr. */
static void messages(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, other;
    socklen_t length = sizeof address;
    char text[] = "abcdefghijklm", first[4] = "....", second[20] = "...................";
    struct iovec out[3] = {{text, 3}, {NULL, 0}, {text + 3, 10}}, in[2] = {{first, 3}, {second, 19}};
    struct msghdr message = {.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = out, .msg_iovlen = 3};
    int server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(server, (struct sockaddr *)&address, sizeof address) == 0 &&
          getsockname(server, (struct sockaddr *)&address, &length) == 0);
    CHECK(sendmsg(client, &message, 0) == 13 && sendmsg(client, &message, MSG_NOSIGNAL) == 13);
    CHECK(message.msg_name == &address && message.msg_iov == out && message.msg_flags == 0);
    struct msghdr back = {.msg_name = &other, .msg_namelen = 100, .msg_iov = in, .msg_iovlen = 2, .msg_flags = 99};
    CHECK(recvmsg(server, &back, 0) == 13 && back.msg_namelen == sizeof other && back.msg_flags == 0);
    CHECK(back.msg_name == &other && back.msg_iov == in && other.sin_family == AF_INET && back.msg_controllen == 0);
    CHECK(memcmp(first, "abc.", 4) == 0 && memcmp(second, "defghijklm.", 11) == 0);
    back.msg_iovlen = 1;
    back.msg_name = NULL;
    back.msg_namelen = 7;
    CHECK(recvmsg(server, &back, 0) == 3 && back.msg_flags == MSG_TRUNC && back.msg_namelen == 7);
    CHECK(recvmsg(server, &back, MSG_DONTWAIT) == -1 && errno == EAGAIN && back.msg_flags == MSG_TRUNC);
    message.msg_name = NULL;
    CHECK(sendmsg(client, &message, 0) == -1 && errno == EDESTADDRREQ);
    close(server);
    close(client);
}

static void messages_with_descriptors(void)
{
    int ends[2], pair[2], came, byte = 0;
    union {
        struct cmsghdr head;
        char bytes[256];
    } control;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(4)};
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0 && pipe(pair) == 0);
    control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4)};
    memcpy(CMSG_DATA(&control.head), &pair[1], 4);
    CHECK(sendmsg(ends[0], &message, 0) == 1 && sendmsg(ends[0], &message, 0) == 1);
    memset(&control, 0x5a, sizeof control);
    message.msg_controllen = 200;
    CHECK(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC) == 1 && message.msg_controllen == CMSG_SPACE(4));
    CHECK(control.head.cmsg_type == SCM_RIGHTS && control.bytes[CMSG_LEN(4)] == 0x5a);
    memcpy(&came, CMSG_DATA(&control.head), 4);
    CHECK(came != pair[1] && write(came, "x", 1) == 1 && read(pair[0], &byte, 1) == 1 && byte == 'x');
    CHECK((fcntl(came, F_GETFD) & FD_CLOEXEC) != 0);
    close(came);
    message.msg_controllen = 3; /* too short */
    CHECK(recvmsg(ends[1], &message, 0) == 1 && message.msg_controllen == 0 && message.msg_flags == MSG_CTRUNC);
    message.msg_control = NULL;
    message.msg_controllen = 50;
    CHECK(sendmsg(ends[0], &message, 0) == -1 && errno == EFAULT);
    message.msg_controllen = 0;
    message.msg_iovlen = 0;
    CHECK(sendmsg(ends[0], &message, 0) == 0 && recvmsg(ends[1], &message, 0) == 0 && message.msg_flags == 0);
    CHECK(sendmsg(ends[0], (struct msghdr *)1, 0) == -1 && errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    close(pair[0]);
    close(pair[1]);
}

/* Files whose drivers look at each part of a vector by itself. */
static void part_by_part(void)
{
    uint64_t numbers[2] = {1, 2}, sum = 0;
    struct iovec parts[2] = {{&numbers[0], 8}, {&numbers[1], 8}};
    int event = eventfd(0, 0), notes = inotify_init1(IN_NONBLOCK), name = open("/proc/thread-self/comm", O_RDWR);
    CHECK(writev(event, parts, 2) == 16 && read(event, &sum, 8) == 8 && sum == 3);
    char first[] = "ab", second[] = "cd", back[16] = {0};
    struct iovec words[2] = {{first, 2}, {second, 2}};
    CHECK(writev(name, words, 2) == 4 && pread(name, back, sizeof back, 0) == 3 && strcmp(back, "cd\n") == 0);
    CHECK(inotify_add_watch(notes, ".", IN_CREATE) >= 0);
    snprintf(back, sizeof back, "note-%d", gettid());
    close(open(back, O_CREAT | O_RDWR, 0600));
    CHECK(readv(notes, words, 2) == -1 && errno == EINVAL && unlink(back) == 0);
    close(event);
    close(notes);
    close(name);
}

/* TCP throws away what MSG_TRUNC asks for, and writes nothing. */
static void thrown_away(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0 &&
          getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
          connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    int server = accept(listener, NULL, NULL);
    char buffer[8] = "zzzzzzz";
    CHECK(send(client, "abcdefgh", 8, 0) == 8 && recv(server, buffer, 4, MSG_TRUNC | MSG_WAITALL) == 4);
    CHECK(strcmp(buffer, "zzzzzzz") == 0 && recv(server, buffer, 4, MSG_PEEK) == 4 && recv(server, buffer, 4, 0) == 4);
    CHECK(strcmp(buffer, "efghzzz") == 0);
    close(server);
    close(client);
    close(listener);
}

/* Sets of select, and what is left of its time. */
static void selecting(int to, int from)
{
    fd_set readable, writable;
    struct timeval limit = {7, 0}, moment = {0, 1000};
    struct timespec time = {7, 0}, exact = {7, 7};
    struct pollfd ready = {from, POLLIN, 7};
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_SET(from, &readable);
    FD_SET(to, &writable);
    int most = (to > from ? to : from) + 1;
    CHECK(syscall(SYS_select, most, &readable, &writable, NULL, &limit) == 1);
    CHECK(!FD_ISSET(from, &readable) && FD_ISSET(to, &writable) && (limit.tv_sec == 6 || limit.tv_usec == 0));
    FD_SET(from, &readable);
    CHECK(select(most, &readable, NULL, NULL, &moment) == 0 && !FD_ISSET(from, &readable) && moment.tv_usec == 0);
    CHECK(write(to, "x", 1) == 1);
    FD_SET(from, &readable);
    CHECK(pselect(most, &readable, NULL, NULL, &time, NULL) == 1 && FD_ISSET(from, &readable));
    CHECK(ppoll(&ready, 1, &exact, NULL) == 1 && ready.revents == POLLIN && exact.tv_sec == 7);
    CHECK(syscall(SYS_ppoll, &ready, 1, &exact, NULL, 0) == 1 && exact.tv_sec == 6 && exact.tv_nsec > 0);
    CHECK(read(from, &most, 1) == 1 && syscall(SYS_select, 0, NULL, NULL, NULL, &moment) == 0);
    limit = (struct timeval){0, -1};
    CHECK(syscall(SYS_select, 1, NULL, NULL, NULL, &limit) == -1 && errno == EINVAL && limit.tv_usec == -1);
    FD_ZERO(&readable);
    int closed = dup(from);
    close(closed);
    FD_SET(closed, &readable);
    CHECK(select(closed + 1, &readable, NULL, NULL, NULL) == -1 && errno == EBADF && FD_ISSET(closed, &readable));
}

static void limits(void)
{
    int word = 5;
    struct timespec moment = {0, 1000}, past = {1, 0}, wrong = {0, -1}, now;
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &moment) == -1 && errno == ETIMEDOUT);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 4, &moment) == -1 && errno == EAGAIN);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &wrong) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 5, &past, NULL, 1) == -1 && errno == ETIMEDOUT);
    CHECK(syscall(SYS_futex, &word, FUTEX_REQUEUE, 0, 1L, &word) == 0); /* a number in its place */
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    pthread_mutex_lock(&mutex);
    CHECK(pthread_cond_timedwait(&condition, &mutex, &now) == ETIMEDOUT);
    pthread_mutex_unlock(&mutex);
}

static void locks(void)
{
    char name[32];
    snprintf(name, sizeof name, "lock-%d", gettid());
    int one = open(name, O_CREAT | O_RDWR, 0600), two = open(name, O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20}, other = lock;
    CHECK(fcntl(one, F_OFD_SETLK, &lock) == 0 && fcntl(two, F_OFD_SETLK, &lock) == -1 && errno == EAGAIN);
    other.l_start = 0;
    other.l_len = 0;
    CHECK(fcntl(two, F_OFD_GETLK, &other) == 0 && other.l_start == 10 && other.l_len == 20 && other.l_pid == -1);
    lock.l_type = F_UNLCK;
    other.l_pid = 0;
    CHECK(fcntl(one, F_OFD_SETLKW, &lock) == 0 && fcntl(two, F_OFD_GETLK, &other) == 0 && other.l_type == F_UNLCK);
    lock.l_type = F_RDLCK;
    CHECK(fcntl(one, F_SETLK, &lock) == 0 && fcntl(one, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
    CHECK(fcntl(one, F_SETLK, NULL) == -1 && errno == EFAULT && fcntl(one, F_GETFL) >= 0);
    close(one);
    close(two);
    CHECK(unlink(name) == 0);
}

static void children(void)
{
    int status = 77;
    struct rusage usage;
    memset(&usage, 0x5a, sizeof usage);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    CHECK(wait4(child, &status, WNOHANG, &usage) == 0 && status == 77 && ((char *)&usage)[0] == 0x5a);
    CHECK(kill(child, SIGKILL) == 0 && wait4(child, &status, 0, &usage) == child);
    CHECK(WIFSIGNALED(status) && ((char *)&usage)[7] == 0);
    CHECK(wait4(child, &status, 0, NULL) == -1 && errno == ECHILD);
}

struct waiter {
    struct pollfd ready[2];
    _Atomic int begins;
    int result;
};

static void *poller(void *argument)
{
    struct waiter *waiter = argument;
    waiter->begins = 1;
    waiter->result = poll(waiter->ready, 2, 20000);
    return NULL;
}

/* What poll was given may be changed for the next time while it waits, and stays so. */
static void events_changed_meanwhile(void)
{
    int ends[2];
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    struct waiter waiter = {.ready = {{ends[0], POLLIN, 7}, {-1, 0, 7}}};
    CHECK0(pthread_create(&thread, NULL, poller, &waiter));
    while (!waiter.begins)
        usleep(1000);
    usleep(200000); /* the call has to have begun, however busy the machine is */
    *(volatile int *)&waiter.ready[1].fd = 77;
    *(volatile short *)&waiter.ready[1].events = POLLPRI;
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK0(pthread_join(thread, NULL));
    CHECK(waiter.result == 1 && waiter.ready[0].revents == POLLIN && waiter.ready[1].fd == 77 &&
          waiter.ready[1].events == POLLPRI && waiter.ready[1].revents == 0);
    close(ends[0]);
    close(ends[1]);
}

static void *run(void *unused)
{
    int ends[2];
    CHECK(pipe(ends) == 0 && fcntl(ends[0], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned long offset = 0; offset < 200; offset += 67)
            bytes_pass(ends[1], ends[0], sizes[i], offset);
    what_is_not_there(ends[1], ends[0]);
    vectors(ends[1], ends[0]);
    names();
    sockets();
    waiting(ends[1], ends[0]);
    selecting(ends[1], ends[0]);
    limits();
    locks();
    children();
    messages();
    messages_with_descriptors();
    part_by_part();
    thrown_away();
    events_changed_meanwhile();
    close(ends[0]);
    close(ends[1]);
    return unused;
}

int main(void)
{
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_create(&threads[i], NULL, run, NULL));
    for (int i = 0; i < 3; i++)
        CHECK0(pthread_join(threads[i], NULL));
    run(NULL);
    puts("what calls read and write is what it should be");
    return 0;
}
