/*
 * Processor masks as the program sees them: what each thread has asked for, over the processors of
 * all nodes. Not for binding the monitor's threads (monitor/session.c).
 *
 * Semantics of kernel/sched/syscalls.c: a mask that is shorter than the kernel's is an error when
 * it is asked for, and padded with zeros when it is set; bits beyond the processors that exist are
 * ignored; nothing left is EINVAL.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/session.h"
#include "monitor/view_private.h"

#define MASK_WORDS (VIEW_PROCESSORS_MAX / 64)
#define BUCKETS    256u

struct record {
    struct record *next;
    pid_t tid;
    uint64_t mask[MASK_WORDS];
};

static struct record *records[BUCKETS]; /* by tid */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct record **record_slot(pid_t tid)
{
    struct record **slot = &records[(unsigned)tid % BUCKETS];
    while (*slot != NULL && (*slot)->tid != tid)
        slot = &(*slot)->next;
    return slot;
}

static bool mask_put(pid_t tid, const uint64_t mask[MASK_WORDS])
{
    struct record **slot = record_slot(tid);
    if (*slot == NULL) {
        *slot = calloc(1, sizeof **slot);
        if (*slot == NULL)
            return false;
        (*slot)->tid = tid;
    }
    memcpy((*slot)->mask, mask, sizeof(*slot)->mask);
    return true;
}

static void mask_all(uint64_t mask[MASK_WORDS])
{
    memset(mask, 0, sizeof(uint64_t) * MASK_WORDS);
    for (unsigned i = 0; i < view.total; i++)
        mask[i / 64] |= 1ull << i % 64;
}

/* Bytes of the masks that the kernel hands out, for as many processors as the session has. */
static size_t mask_bytes(void)
{
    uint64_t own[MASK_WORDS];
    long kernel = syscall(SYS_sched_getaffinity, 0, sizeof own, own);
    size_t session = (view.total + 63) / 64 * 8;
    return kernel > (long)session ? (size_t)kernel : session;
}

/* 0 for a thread of ours, negative errno, 1 for another's. `*tid` 0 becomes the caller's. */
static int thread_check(pid_t *tid)
{
    if (*tid == 0)
        *tid = (pid_t)syscall(SYS_gettid);
    if (*tid < 0)
        return -EINVAL;
    return view_is_own(*tid) ? 0 : 1;
}

long view_sched_getaffinity(pid_t pid, size_t size, void *mask)
{
    int check = view.node_count > 1 ? thread_check(&pid) : 1;
    if (check < 0)
        return -ESRCH;
    if (check > 0) {
        long result = syscall(SYS_sched_getaffinity, pid, size, mask);
        return result < 0 ? -errno : result;
    }
    if (size * 8 < view.total || (size & (sizeof(long) - 1)) != 0)
        return -EINVAL;
    uint64_t wanted[MASK_WORDS];
    pthread_mutex_lock(&lock);
    struct record *record = *record_slot(pid);
    if (record != NULL)
        memcpy(wanted, record->mask, sizeof wanted);
    else
        mask_all(wanted);
    pthread_mutex_unlock(&lock);
    size_t bytes = mask_bytes();
    if (bytes > size)
        bytes = size;
    if (bytes > sizeof wanted)
        bytes = sizeof wanted;
    memcpy(mask, wanted, bytes);
    return (long)bytes;
}

long view_sched_setaffinity(pid_t pid, size_t size, const void *mask)
{
    int check = view.node_count > 1 ? thread_check(&pid) : 1;
    if (check < 0)
        return -ESRCH;
    if (check > 0) {
        long result = syscall(SYS_sched_setaffinity, pid, size, mask);
        return result < 0 ? -errno : result;
    }
    uint64_t wanted[MASK_WORDS] = {0}, all[MASK_WORDS], any = 0;
    memcpy(wanted, mask, size < sizeof wanted ? size : sizeof wanted);
    mask_all(all);
    for (unsigned i = 0; i < MASK_WORDS; i++)
        any |= wanted[i] &= all[i];
    if (any == 0)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    bool put = mask_put(pid, wanted);
    pthread_mutex_unlock(&lock);
    return put ? 0 : -ENOMEM;
}

uint64_t view_affinity_nodes(pid_t tid)
{
    uint64_t nodes = 0;
    pthread_mutex_lock(&lock);
    const struct record *record = *record_slot(tid);
    for (unsigned i = 0; record != NULL && i < view.total; i++)
        if (record->mask[i / 64] >> i % 64 & 1)
            nodes |= 1ull << view_node_of(i);
    pthread_mutex_unlock(&lock);
    return nodes != 0 ? nodes : UINT64_MAX;
}

uint64_t view_affinity_processors(pid_t tid, unsigned node)
{
    uint64_t processors = 0;
    unsigned first = view.first[node], count = view.first[node + 1] - first;
    pthread_mutex_lock(&lock);
    const struct record *record = *record_slot(tid);
    for (unsigned i = 0; record != NULL && count <= 64 && i < count; i++)
        if (record->mask[(first + i) / 64] >> (first + i) % 64 & 1)
            processors |= 1ull << i;
    pthread_mutex_unlock(&lock);
    return count < 64 && processors == (1ull << count) - 1 ? 0 : processors;
}

static void record_forget(pid_t tid)
{
    struct record **slot = record_slot(tid), *record = *slot;
    if (record != NULL) {
        *slot = record->next;
        free(record);
    }
}

void view_thread_begin(void)
{
    pthread_mutex_lock(&lock);
}

void view_thread_created(pid_t maker, pid_t tid)
{
    if (tid < 0) {
        pthread_mutex_unlock(&lock);
        return;
    }
    record_forget(tid);
    const struct record *record = *record_slot(maker);
    if (record != NULL)
        mask_put(tid, record->mask); /* without memory the new thread may use them all */
    pthread_mutex_unlock(&lock);
}

void view_thread_ended(pid_t tid)
{
    pthread_mutex_lock(&lock);
    record_forget(tid);
    pthread_mutex_unlock(&lock);
}

/* ---- forks and execs ----------------------------------------------------------------------------------------------
 */

/* Gives the kernel those of the session's processors that are this machine's. Others mean nothing to one node alone. */
static void kernel_bind(pid_t tid, const uint64_t mask[MASK_WORDS])
{
    uint64_t own[MASK_WORDS] = {0}, any = 0;
    for (unsigned i = 0; i < VIEW_PROCESSORS_MAX; i++) {
        int processor = mask[i / 64] >> i % 64 & 1 ? session_processor(i) : -1;
        if (processor >= 0 && processor < VIEW_PROCESSORS_MAX)
            any |= own[processor / 64] |= 1ull << processor % 64;
    }
    if (any)
        syscall(SYS_sched_setaffinity, tid, sizeof own, own);
}

/* The mask of the session's processors that `tid` is bound to; false: it never asked. */
static bool mask_of(pid_t tid, uint64_t mask[MASK_WORDS])
{
    pthread_mutex_lock(&lock);
    const struct record *record = *record_slot(tid);
    if (record != NULL)
        memcpy(mask, record->mask, sizeof record->mask);
    pthread_mutex_unlock(&lock);
    return record != NULL;
}

/* The same where the kernel has it: in a child that is on one node. */
static bool mask_of_kernel(uint64_t mask[MASK_WORDS])
{
    uint64_t own[MASK_WORDS] = {0};
    bool narrow = false;
    if (syscall(SYS_sched_getaffinity, 0, sizeof own, own) < 0)
        return false;
    memset(mask, 0, sizeof own);
    for (unsigned i = 0; i < VIEW_PROCESSORS_MAX; i++) {
        int processor = session_processor(i);
        if (processor < 0)
            break;
        if (own[processor / 64] >> processor % 64 & 1)
            mask[i / 64] |= 1ull << i % 64;
        else
            narrow = true;
    }
    return narrow;
}

void view_fork_child(pid_t maker)
{
    uint64_t mask[MASK_WORDS];
    pthread_mutex_init(&lock, NULL);
    view.node_count = view.node_count > 0 ? 1 : 0;
    if (mask_of(maker, mask))
        kernel_bind(0, mask);
}

void view_affinity_bind(pid_t tid)
{
    uint64_t mask[MASK_WORDS];
    if (mask_of(tid, mask))
        kernel_bind(tid, mask);
}

void view_before_exec(pid_t tid)
{
    uint64_t mask[MASK_WORDS];
    if (view.node_count <= 1)
        return; /* the kernel has what was asked for */
    session_unpin();
    if (mask_of(tid, mask))
        kernel_bind(0, mask);
}

bool view_affinity_tell(pid_t tid, char *text, size_t size)
{
    uint64_t mask[MASK_WORDS];
    if (session_configuration()->local + session_configuration()->peer_count == 1)
        return false; /* what the kernel has is inherited */
    if (!(view.node_count > 1 ? mask_of(tid, mask) : mask_of_kernel(mask)))
        return false;
    unsigned words = MASK_WORDS;
    while (words > 1 && mask[words - 1] == 0)
        words--;
    int used = 0;
    for (unsigned i = 0; i < words && used < (int)size; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%lx", i ? "," : "", (unsigned long)mask[i]);
    return used < (int)size;
}

void view_affinity_told(pid_t tid, const char *text)
{
    uint64_t mask[MASK_WORDS] = {0};
    for (unsigned i = 0; i < MASK_WORDS && text; i++) {
        mask[i] = strtoul(text, NULL, 16);
        text = strchr(text, ',');
        text += text != NULL;
    }
    if (view.node_count > 1)
        view_sched_setaffinity(tid, sizeof mask, mask);
    else
        kernel_bind(tid, mask);
}
