/* io_uring: a ring made and used by threads on several nodes, where the kernel offers it. */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/mman.h>

#include "behaviour.h"

static int ring, file;
static struct io_uring_params parameters;
static char *submission, *completion;
static struct io_uring_sqe *entries;

#define AT(type, base, offset) ((volatile type *)((base) + (offset)))

static void *run(void *unused)
{
    static char bytes[64];
    unsigned tail = *AT(unsigned, submission, parameters.sq_off.tail),
             mask = *AT(unsigned, submission, parameters.sq_off.ring_mask);
    struct io_uring_sqe *entry = &entries[tail & mask];
    memset(entry, 0, sizeof *entry);
    memset(bytes, 0, sizeof bytes);
    entry->opcode = IORING_OP_READ;
    entry->fd = file;
    entry->addr = (unsigned long)bytes;
    entry->len = 5;
    entry->user_data = 33;
    *(AT(unsigned, submission, parameters.sq_off.array) + (tail & mask)) = tail & mask;
    __atomic_store_n(AT(unsigned, submission, parameters.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
    CHECK(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
    unsigned head = *AT(unsigned, completion, parameters.cq_off.head);
    const struct io_uring_cqe *done = (const struct io_uring_cqe *)(completion + parameters.cq_off.cqes) +
                                      (head & *AT(unsigned, completion, parameters.cq_off.ring_mask));
    CHECK(done->user_data == 33 && done->res == 5 && memcmp(bytes, "hello", 5) == 0);
    __atomic_store_n(AT(unsigned, completion, parameters.cq_off.head), head + 1, __ATOMIC_RELEASE);
    return unused;
}

int main(void)
{
    pthread_t thread;
    ring = (int)syscall(SYS_io_uring_setup, 4, &parameters);
    if (ring < 0)
        return 77;
    file = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(write(file, "hello", 5) == 5);
    submission = mmap(NULL, parameters.sq_off.array + 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
                      IORING_OFF_SQ_RING);
    completion = mmap(NULL, parameters.cq_off.cqes + 8 * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
    entries = mmap(NULL, 4 * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    CHECK(submission != MAP_FAILED && completion != MAP_FAILED && entries != MAP_FAILED);
    run(NULL);
    for (int i = 0; i < 5; i++) {
        CHECK0(pthread_create(&thread, NULL, run, NULL));
        CHECK0(pthread_join(thread, NULL));
    }
    puts("read");
    return 0;
}
