/*
 * What home's directory was asked for, and when it answered, kept in memory until the end of the session. Not for what
 * nodes do without asking: that is no message and nobody sees it. The format and what it can tell: docs/simulation.md.
 *
 * The loop records, another thread writes the file: a record counts once `used` says so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "runtime/pager_private.h"

#define RECORDS_MAX (1u << 20)
#define ASKED_SLOTS 256u

struct trace_record {
    uint64_t at_ns, page;
    uint64_t node; /* of a range: the nodes, a bit mask */
    uint32_t count;
    char kind, detail;
};
_Static_assert(sizeof(struct trace_record) == 32, "a record costs 32 bytes");

static struct trace_record *records; /* NULL: nothing is recorded */
static _Atomic uint32_t used;
static _Atomic uint64_t left_out;
static uint64_t start_ns;
static uint64_t
    asked[ASKED_SLOTS]; /* home's own pages under way, by a hash; a collision loses an answer, nothing else */

int pager_trace_start(void)
{
    if (records != NULL)
        return -EALREADY;
    void *memory = mmap(NULL, RECORDS_MAX * sizeof *records, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    records = memory;
    start_ns = pager_now_ns();
    return 0;
}

bool pager_trace_running(void)
{
    return records != NULL;
}

static void record_add(struct trace_record record)
{
    uint32_t at = atomic_load_explicit(&used, memory_order_relaxed);
    if (at == RECORDS_MAX) {
        atomic_fetch_add_explicit(&left_out, 1, memory_order_relaxed);
        return;
    }
    record.at_ns = pager_now_ns() - start_ns;
    records[at] = record;
    atomic_store_explicit(&used, at + 1, memory_order_release);
}

static uint64_t *asked_slot(uint64_t page)
{
    return &asked[(page * 0x9e3779b97f4a7c15ull) >> 56];
}

void pager_trace_request(unsigned node, uint64_t page, bool write)
{
    PAGER_ASSERT(node < NODES_MAX);
    if (records == NULL)
        return;
    if (node == HOME_NODE) {
        uint64_t *slot = asked_slot(page);
        if (*slot == page)
            return; /* another thread at home wants it too */
        *slot = page;
    }
    record_add((struct trace_record){.kind = 'q', .node = node, .page = page, .detail = write ? 'w' : 'r'});
}

void pager_trace_grant(unsigned node, uint64_t page, char content)
{
    PAGER_ASSERT(node < NODES_MAX);
    if (records == NULL)
        return;
    if (node == HOME_NODE) {
        uint64_t *slot = asked_slot(page);
        if (*slot != page)
            return; /* it was home's all the time */
        *slot = 0;
    }
    record_add((struct trace_record){.kind = 'g', .node = node, .page = page, .detail = content});
}

void pager_trace_range(char kind, uint64_t nodes, uint64_t page, uint64_t count)
{
    PAGER_ASSERT(count != 0);
    if (records != NULL)
        record_add((struct trace_record){
            .kind = kind, .node = nodes, .page = page, .count = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX});
}

int pager_trace_write(const char *path, unsigned node_count)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -errno;
    uint32_t count = atomic_load_explicit(&used, memory_order_acquire);
    fprintf(file, "ld-span-trace 1 nodes %u left-out %" PRIu64 "\n", node_count,
            atomic_load_explicit(&left_out, memory_order_relaxed));
    for (uint32_t i = 0; i < count; i++) {
        const struct trace_record *record = &records[i];
        fprintf(file, "%c %" PRIu64 " %" PRIx64 " %" PRIx64, record->kind, record->at_ns, record->node, record->page);
        if (record->detail != 0)
            fprintf(file, " %c\n", record->detail);
        else
            fprintf(file, " %" PRIu32 "\n", record->count);
    }
    bool failed = ferror(file) != 0;
    failed |= fclose(file) != 0;
    return failed ? -EIO : 0;
}

void pager_trace_forget(void)
{
    if (records != NULL)
        munmap(records, RECORDS_MAX * sizeof *records);
    records = NULL;
    atomic_store(&used, 0);
    atomic_store(&left_out, 0);
    for (unsigned i = 0; i < ASKED_SLOTS; i++)
        asked[i] = 0;
}
