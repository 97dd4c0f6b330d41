/*
 * Buffers that change while a call waits for what is to be in them: memory mapped anew, taken away, vectors and lengths
 * that another thread writes. The kernel has read what it reads once when the call began, and writes to what is there
 * when it has something.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "behaviour.h"

#define PAGE 4096ul

static const char text[] = "0123456789abcdef";
enum { TEXT = sizeof text - 1 };

struct waiter {
    long (*call)(struct waiter *waiter);
    int fd, other;
    char *memory;
    struct iovec *parts;
    socklen_t *length;
    _Atomic int begins;
    long result;
    int error;
};

static long poll_call(struct waiter *waiter)
{
    return poll((struct pollfd *)waiter->memory, 1, 20000);
}

static void *wait_in_call(void *argument)
{
    struct waiter *waiter = argument;
    memset(waiter->memory, 0x5a, PAGE); /* it is where the thread is */
    if (waiter->call == poll_call)
        *(struct pollfd *)waiter->memory = (struct pollfd){waiter->fd, POLLIN, 7};
    waiter->begins = 1;
    waiter->result = waiter->call(waiter);
    waiter->error = errno;
    return NULL;
}

static pthread_t wait_begin(struct waiter *waiter)
{
    pthread_t thread;
    waiter->begins = 0;
    CHECK0(pthread_create(&thread, NULL, wait_in_call, waiter));
    while (!waiter->begins)
        usleep(1000);
    usleep(20000);
    return thread;
}

static char *page_map(char *where, int flags)
{
    char *memory = mmap(where, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* A page where nobody else maps anything, not even while it is gone for a moment. */
static char *page_make(void)
{
    static _Atomic uint64_t next = 0x200000000000;
    return page_map((char *)atomic_fetch_add(&next, 4 * PAGE), MAP_FIXED_NOREPLACE);
}

static long read_call(struct waiter *waiter)
{
    return read(waiter->fd, waiter->memory + 100, TEXT);
}

static long readv_call(struct waiter *waiter)
{
    return readv(waiter->fd, waiter->parts, 2);
}

static long receive_call(struct waiter *waiter)
{
    return syscall(SYS_recvfrom, waiter->fd, waiter->memory, TEXT, 0, NULL, waiter->length);
}

static long accept_call(struct waiter *waiter)
{
    *waiter->length = sizeof(struct sockaddr_in);
    return syscall(SYS_accept4, waiter->fd, waiter->memory, waiter->length, 0);
}

/* ---- memory mapped anew ---------------------------------------------------------------------------------------------
 */

static void unmapped_and_mapped(char *memory)
{
    CHECK(munmap(memory, PAGE) == 0 && page_map(memory, MAP_FIXED_NOREPLACE) == memory);
}

static void mapped_over(char *memory)
{
    page_map(memory, MAP_FIXED);
}

static void protected_and_not(char *memory)
{
    CHECK(mprotect(memory, PAGE, PROT_READ) == 0 && mprotect(memory, PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void emptied(char *memory)
{
    CHECK(madvise(memory, PAGE, MADV_DONTNEED) == 0);
}

static void moved_and_mapped(char *memory)
{
    char *away = page_make();
    CHECK(mremap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
    page_map(memory, MAP_FIXED_NOREPLACE);
    munmap(away, PAGE);
}

static void read_by_others(char *memory)
{
    CHECK(((volatile char *)memory)[50] == 0x5a);
}

static void shared_with_a_file(char *memory)
{
    int file = memfd_create("file", 0);
    CHECK(ftruncate(file, PAGE) == 0 &&
          mmap(memory, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == memory);
    close(file);
}

static void (*const changes[])(char *memory) = {unmapped_and_mapped, mapped_over,    protected_and_not, emptied,
                                                moved_and_mapped,    read_by_others, shared_with_a_file};

static void mapped_anew(int to, int from)
{
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct waiter waiter = {.call = read_call, .fd = from, .memory = page_make()};
        pthread_t thread = wait_begin(&waiter);
        changes[i](waiter.memory);
        CHECK(write(to, text, TEXT) == TEXT);
        CHECK0(pthread_join(thread, NULL));
        CHECK(waiter.result == TEXT && memcmp(waiter.memory + 100, text, TEXT) == 0);
        waiter.call = poll_call;
        thread = wait_begin(&waiter);
        usleep(200000); /* the call has to have begun, however busy the machine is */
        changes[i](waiter.memory);
        CHECK(write(to, text, 1) == 1);
        CHECK0(pthread_join(thread, NULL));
        CHECK(waiter.result == 1 && ((struct pollfd *)waiter.memory)->revents == POLLIN);
        CHECK(read(from, waiter.memory, 1) == 1);
        munmap(waiter.memory, PAGE);
    }
}

static void taken_away(int to, int from)
{
    struct waiter waiter = {.call = read_call, .fd = from, .memory = page_make()};
    pthread_t thread = wait_begin(&waiter);
    CHECK(mprotect(waiter.memory, PAGE, PROT_READ) == 0 && write(to, text, TEXT) == TEXT);
    CHECK0(pthread_join(thread, NULL));
    CHECK(waiter.result == -1 && waiter.error == EFAULT && waiter.memory[100] == 0x5a);
    munmap(waiter.memory, PAGE);
}

/* ---- what the kernel has read when the call began -------------------------------------------------------------------
 */

static void vector_changed(int to, int from)
{
    char *memory = page_make(), *parts = page_make();
    struct waiter waiter = {.call = readv_call, .fd = from, .memory = memory, .parts = (struct iovec *)parts};
    waiter.parts[0] = (struct iovec){memory, 5};
    waiter.parts[1] = (struct iovec){memory + 200, 100};
    pthread_t thread = wait_begin(&waiter);
    usleep(200000); /* the call has to have begun, however busy the machine is */
    waiter.parts[0] = (struct iovec){memory + 1000, 1};
    waiter.parts[1] = (struct iovec){NULL, 1};
    CHECK(write(to, text, TEXT) == TEXT);
    CHECK0(pthread_join(thread, NULL));
    CHECK(waiter.result == TEXT && memcmp(memory, "01234\x5a", 6) == 0 &&
          memcmp(memory + 200, "56789abcdef\x5a", 12) == 0 && memory[1000] == 0x5a);
    munmap(memory, PAGE);
    munmap(parts, PAGE);
}

/* A length is not looked at where there is no address. */
static void length_of_nothing(void)
{
    int ends[2];
    socklen_t *length = (socklen_t *)page_make();
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
    struct waiter waiter = {.call = receive_call, .fd = ends[0], .memory = page_make(), .length = length};
    *length = 5;
    pthread_t thread = wait_begin(&waiter);
    *(volatile socklen_t *)length = 77;
    CHECK(write(ends[1], text, TEXT) == TEXT);
    CHECK0(pthread_join(thread, NULL));
    CHECK(waiter.result == TEXT && *length == 77 && memcmp(waiter.memory, text, TEXT) == 0);
    munmap(waiter.memory, PAGE);
    munmap(length, PAGE);
    close(ends[0]);
    close(ends[1]);
}

static int listener_make(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(listener, (struct sockaddr *)address, sizeof *address) == 0 && listen(listener, 4) == 0 &&
          getsockname(listener, (struct sockaddr *)address, &length) == 0);
    return listener;
}

/* A connection whose address cannot be told is ended. */
static void accepted_for_nothing(void)
{
    struct sockaddr_in address;
    int listener = listener_make(&address), client = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t *length = (socklen_t *)page_make();
    struct waiter waiter = {.call = accept_call, .fd = listener, .memory = page_make(), .length = length};
    char byte;
    pthread_t thread = wait_begin(&waiter);
    CHECK(mprotect(waiter.memory, PAGE, PROT_READ) == 0);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK0(pthread_join(thread, NULL));
    CHECK(waiter.result == -1 && waiter.error == EFAULT && read(client, &byte, 1) == 0);
    munmap(waiter.memory, PAGE);
    munmap(length, PAGE);
    close(client);
    close(listener);
}

/* A message that brings a descriptor, whose control data cannot be written any more: the descriptor is not there. */
static long message_call(struct waiter *waiter)
{
    struct iovec part = {waiter->memory, TEXT};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = waiter->length, .msg_controllen = 100};
    *(volatile int *)waiter->length = 5;
    long result = recvmsg(waiter->fd, &message, 0);
    CHECK(result != 1 || (message.msg_flags == MSG_CTRUNC && message.msg_controllen == 0));
    return result;
}

static void descriptor_for_nothing(void)
{
    int ends[2], pair[2];
    char byte = 'x', control[CMSG_SPACE(4)] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(4)};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && pipe(pair) == 0);
    struct waiter waiter = {
        .call = message_call, .fd = ends[1], .memory = page_make(), .length = (socklen_t *)page_make()};
    *CMSG_FIRSTHDR(&message) =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4)};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pair[1], 4);
    pthread_t thread = wait_begin(&waiter);
    usleep(200000);
    CHECK(mprotect(waiter.length, PAGE, PROT_READ) == 0 && sendmsg(ends[0], &message, 0) == 1);
    CHECK0(pthread_join(thread, NULL));
    close(pair[1]);
    CHECK(waiter.result == 1 && read(pair[0], &byte, 1) == 0);
    munmap(waiter.memory, PAGE);
    munmap(waiter.length, PAGE);
    close(pair[0]);
    close(ends[0]);
    close(ends[1]);
}

/* ---- what depends on the call being made as it is -------------------------------------------------------------------
 */

/* A filter of the program's that judges a call by where its buffer is. */
static void *filtered(void *argument)
{
    int to = *(int *)argument;
    char here[TEXT], there[TEXT];
    memcpy(here, text, TEXT);
    memcpy(there, text, TEXT);
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(uintptr_t)there, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(write(to, here, TEXT) == TEXT);
        CHECK(write(to, there, TEXT) == -1 && errno == ENOTTY);
    }
    return NULL;
}

static void *run(void *unused)
{
    int ends[2];
    pthread_t thread;
    CHECK(pipe(ends) == 0);
    mapped_anew(ends[1], ends[0]);
    vector_changed(ends[1], ends[0]);
    length_of_nothing();
    accepted_for_nothing();
    descriptor_for_nothing();
    CHECK0(pthread_create(&thread, NULL, filtered, &ends[1]));
    CHECK0(pthread_join(thread, NULL));
    close(ends[0]);
    close(ends[1]);
    CHECK(pipe(ends) == 0);
    taken_away(ends[1], ends[0]);
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
    puts("calls go by what was there when they began, and when they ended");
    return 0;
}
