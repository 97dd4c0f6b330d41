/*
 * Random calls with random buffers: in memory of which pages are read-only, missing or fresh, and change. What each
 * call says and what it leaves in memory goes into a sum that has to be the same wherever the threads run.
 * Usage: call_buffers_random [seed [calls]]. With calls it prints each, to compare two runs.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "behaviour.h"

enum { PAGE = 4096, PAGES = 12, FDS = 7, PARTS = 5, THREADS = 3 };

static unsigned seed = 1, calls = 1500;
static int prints;

struct state {
    uint64_t random, sum;
    char *arena; /* PAGES, and nothing behind them */
    int protections[PAGES];
    int fds[FDS]; /* a pipe, two pairs of sockets, a file */
    char name[32];
    unsigned step;
};

static uint64_t pick(struct state *state, uint64_t bound)
{
    state->random = state->random * 6364136223846793005u + 1442695040888963407u;
    return (state->random >> 33) % bound;
}

static void sum_add(struct state *state, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        state->sum = (state->sum ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
}

/* An address of the arena, or a little before or behind what is mapped of it. */
static char *address(struct state *state)
{
    if (pick(state, 40) == 0)
        return NULL;
    return state->arena + pick(state, PAGES) * PAGE + pick(state, PAGE) * (pick(state, 3) != 0);
}

static size_t size(struct state *state)
{
    static const size_t most[] = {1, 8, 64, 600, 5000, 20000};
    return pick(state, most[pick(state, 6)] + 1);
}

static int descriptor(struct state *state)
{
    return pick(state, 60) ? state->fds[pick(state, FDS)] : -1;
}

static void said(struct state *state, const char *call, long result)
{
    int error = result < 0 ? errno : 0;
    sum_add(state, &result, sizeof result);
    sum_add(state, &error, sizeof error);
    for (int page = 0; page < PAGES; page++)
        if (state->protections[page] != PROT_NONE)
            sum_add(state, state->arena + page * PAGE, PAGE);
    if (prints)
        printf("%u %s %ld %d %016lx\n", state->step, call, result, error, state->sum);
}

static void page_change(struct state *state)
{
    static const int protections[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
                                      PROT_NONE};
    unsigned page = (unsigned)pick(state, PAGES), how = (unsigned)pick(state, 3);
    char *at = state->arena + page * PAGE;
    state->protections[page] = how == 1 ? PROT_READ | PROT_WRITE : protections[pick(state, 5)];
    if (how == 0)
        CHECK(mprotect(at, PAGE, state->protections[page]) == 0);
    else
        CHECK(mmap(at, PAGE, state->protections[page], MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
    if (how == 1)
        for (int i = 0; i < PAGE; i++)
            at[i] = (char)pick(state, 256);
}

/* Somewhere in the arena, when all of it can be written to. */
static void *place(struct state *state, size_t bytes)
{
    for (int i = 0; i < 50; i++) {
        unsigned page = (unsigned)pick(state, PAGES);
        if (state->protections[page] == (PROT_READ | PROT_WRITE))
            return state->arena + page * PAGE + (pick(state, PAGE - bytes) & ~7ul);
    }
    return NULL;
}

static struct iovec *vector(struct state *state, int *count)
{
    struct iovec *parts = place(state, PARTS * sizeof *parts);
    *count = (int)pick(state, PARTS + 1);
    for (int i = 0; parts && i < *count; i++) {
        void *base = address(state);
        size_t bytes = size(state);
        parts[i] = (struct iovec){base, bytes};
    }
    return parts;
}

/* What is received over what tells where it goes to is nobody's. */
static void vector_spare(struct iovec *parts, int count, const void *spared, size_t bytes)
{
    for (int i = 0; i < count; i++) {
        char *base = parts[i].iov_base;
        if (base < (char *)spared + bytes && base + parts[i].iov_len > (char *)spared)
            parts[i].iov_len = 0;
    }
}

static void message(struct state *state, int fd, int sends)
{
    struct msghdr *head = place(state, sizeof *head);
    int count;
    struct iovec *parts = vector(state, &count);
    if (!head || !parts || ((char *)(parts + PARTS) > (char *)head && (char *)(head + 1) > (char *)parts))
        return;
    if (!sends) {
        vector_spare(parts, count, parts, PARTS * sizeof *parts);
        vector_spare(parts, count, head, sizeof *head);
    }
    *head = (struct msghdr){.msg_iov = parts, .msg_iovlen = (size_t)count, .msg_flags = 5};
    if (pick(state, 2) && !sends)
        head->msg_name = address(state), head->msg_namelen = (socklen_t)pick(state, 40);
    if (pick(state, 2) && !sends)
        head->msg_control = address(state), head->msg_controllen = pick(state, 100);
    long result = sends ? sendmsg(fd, head, MSG_DONTWAIT | MSG_NOSIGNAL) : recvmsg(fd, head, MSG_DONTWAIT);
    said(state, sends ? "sendmsg" : "recvmsg", result);
}

static void vectors(struct state *state, int fd, int writes)
{
    int count;
    struct iovec *parts = vector(state, &count);
    if (!parts)
        return;
    if (!writes)
        vector_spare(parts, count, parts, PARTS * sizeof *parts);
    long result = writes ? writev(fd, parts, count) : readv(fd, parts, count);
    said(state, writes ? "writev" : "readv", result);
}

static void waiting(struct state *state)
{
    struct pollfd *ready = place(state, FDS * sizeof *ready);
    if (!ready)
        return;
    for (int i = 0; i < FDS; i++)
        ready[i] = (struct pollfd){state->fds[i], (short)pick(state, 8), 9};
    long result = poll(ready, (nfds_t)pick(state, FDS + 1), 0);
    for (int i = 0; i < FDS; i++)
        ready[i].fd = i; /* which numbers the threads get is chance */
    said(state, "poll", result);
}

static void file_calls(struct state *state)
{
    /* In part it is not there never: what the kernel leaves then tells of times and numbers. */
    struct stat *status = pick(state, 5) ? place(state, sizeof *status) : (struct stat *)(state->arena - PAGE);
    char *name = place(state, sizeof state->name);
    int file = state->fds[FDS - 1];
    if (!name)
        return;
    strcpy(name, state->name);
    long result = pick(state, 2) ? fstat(file, status) : stat(name, status);
    if (result == 0)
        memset(status, 0, sizeof *status); /* its times and number are its own */
    said(state, "stat", result);
    said(state, "open", open(address(state), O_RDONLY | O_DIRECTORY) >= 0 ? -1 : 0);
    struct flock *lock = (struct flock *)address(state);
    said(state, "fcntl", fcntl(file, pick(state, 2) ? F_SETLK : F_GETLK, lock));
    said(state, "readlink", readlink("/proc/self/fd/nothing", address(state), size(state)));
    char *text = address(state);
    said(state, "getcwd", syscall(SYS_getcwd, text, pick(state, 3)));
}

static void call_make(struct state *state)
{
    int fd = descriptor(state), file = state->fds[FDS - 1];
    char *at = address(state);
    size_t bytes = size(state);
    off_t offset = (off_t)pick(state, 30000);
    switch (pick(state, 15)) {
    case 0:
    case 1:
        return said(state, "write", write(fd, at, bytes));
    case 2:
    case 3:
        return said(state, "read", read(fd, at, bytes));
    case 4:
        return said(state, "pwrite", pwrite(file, at, bytes, offset));
    case 5:
        return said(state, "pread", pread(file, at, bytes, offset));
    case 6:
        return vectors(state, fd, 1);
    case 7:
        return vectors(state, fd, 0);
    case 8:
        return message(state, fd, 1);
    case 9:
        return message(state, fd, 0);
    case 10:
        return said(state, "send", send(fd, at, bytes, MSG_DONTWAIT | MSG_NOSIGNAL));
    case 11:
        return said(state, "recv", recv(fd, at, bytes, MSG_DONTWAIT | (pick(state, 3) ? 0 : MSG_TRUNC)));
    case 12:
        return waiting(state);
    case 13:
        return file_calls(state);
    default:
        page_change(state);
    }
}

static void *run(void *argument)
{
    struct state *state = argument;
    char *arena = mmap(state->arena - PAGE, (PAGES + 2) * PAGE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(arena == state->arena - PAGE);
    CHECK(pipe2(state->fds, O_NONBLOCK) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, state->fds + 2) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, state->fds + 4) == 0);
    state->fds[FDS - 1] = open(state->name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(state->fds[FDS - 1] >= 0 && ftruncate(state->fds[FDS - 1], 25000) == 0);
    for (int i = 0; i < 3 * PAGES; i++)
        page_change(state);
    for (state->step = 0; state->step < calls; state->step++)
        call_make(state);
    for (int i = 0; i < FDS; i++)
        close(state->fds[i]);
    CHECK(unlink(state->name) == 0);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct state states[THREADS];
    pthread_t threads[THREADS];
    if (argc > 1)
        seed = (unsigned)atoi(argv[1]);
    if (argc > 2) {
        calls = (unsigned)atoi(argv[2]);
        prints = 1;
    }
    for (int i = 0; i < THREADS; i++) {
        states[i].arena = (char *)0x200000001000 + i * 0x100000l; /* for addresses are among what is summed up */
        states[i].random = seed * 100u + (unsigned)i;
        snprintf(states[i].name, sizeof states[i].name, "random-%d", i);
        CHECK0(pthread_create(&threads[i], NULL, run, &states[i]));
        if (prints)
            CHECK0(pthread_join(threads[i], NULL));
    }
    for (int i = 0; i < THREADS; i++) {
        if (!prints)
            CHECK0(pthread_join(threads[i], NULL));
        printf("thread %d: %016lx\n", i, states[i].sum);
    }
    return 0;
}
