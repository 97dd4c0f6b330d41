/*
 * What peers know of the map: answering their lookups, telling them when something goes, the start
 * of distribution, fork. Not for what they do with it (monitor/mirror.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/space_private.h"
#include "runtime/pager.h"

static void change_unknown(struct space_entry *entry, const void *argument)
{
    (void)argument;
    entry->mapping.nodes = 0;
}

static void change_known(struct space_entry *entry, const void *argument)
{
    entry->mapping.nodes |= *(const uint64_t *)argument;
}

/* The nodes that know a part of the range, and the range cut to what they know. */
static uint64_t known_range(uint64_t *start, uint64_t *end)
{
    uint64_t nodes = 0, first = 0, last = 0;
    if (!space.distributed)
        return 0;
    for (const struct space_node *node = space_first(*start, *end); node;
         node = space_first(node->entry.mapping.end, *end)) {
        const struct space_mapping *mapping = &node->entry.mapping;
        if (mapping->nodes == 0)
            continue;
        if (nodes == 0)
            first = mapping->start > *start ? mapping->start : *start;
        last = mapping->end < *end ? mapping->end : *end;
        nodes |= mapping->nodes;
    }
    *start = first;
    *end = last;
    return nodes;
}

bool space_known(uint64_t start, uint64_t end)
{
    return known_range(&start, &end) != 0;
}

void space_forget(uint64_t start, uint64_t end, bool keep)
{
    uint64_t nodes = known_range(&start, &end);
    if (nodes == 0)
        return;
    if (keep)
        pager_recall(start, end, nodes);
    else
        pager_drop(start, end, nodes);
    space_change(start, end, change_unknown, NULL);
}

void space_text_changed(uint64_t start, uint64_t end)
{
    start = page_down(start);
    end = page_up(end);
    if (space_enter() != 0)
        span_fatal("no memory for the map of the program's memory");
    const struct space_node *node = space_first(start, end);
    while (node) {
        const struct space_mapping *mapping = &node->entry.mapping;
        uint64_t from = mapping->start > start ? mapping->start : start;
        uint64_t to = mapping->end < end ? mapping->end : end;
        space_forget(from, to, mapping->kind == SPACE_MEMORY);
        node = space_first(to, end);
    }
    space_leave();
}

/* ---- lookups -------------------------------------------------------------------------- */

/* Beyond the end of its file a mapping has no contents: the thread has to take its SIGBUS at home.
 */
static bool file_has_page(uint64_t page)
{
    uint8_t byte;
    struct iovec local = {.iov_base = &byte, .iov_len = 1};
    struct iovec remote = {.iov_base = (void *)page, .iov_len = 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

/* As the kernel judges on x86: what can be accessed in any way can be read. */
static bool access_allowed(const struct wire_fault *fault, uint32_t protection)
{
    if (fault->execute)
        return protection & PROT_EXEC;
    if (fault->write)
        return protection & PROT_WRITE;
    return protection != 0;
}

void space_peer_lookup(unsigned node, const struct wire_fault *fault, struct wire_mapping *out)
{
    SPAN_ASSERT(node > HOME_NODE && node < NODES_MAX);
    uint64_t page = page_down(fault->address), bit = 1ul << node;
    memset(out, 0, sizeof *out);
    out->start = page;
    out->end = page + PAGE_BYTES;
    out->kind = WIRE_MAPPING_NONE;
    if (page >= SPAN_ZONE_END)
        return;
    if (space_enter() != 0) {
        out->kind = WIRE_MAPPING_PINNED;
        return;
    }
    const struct space_node *found = space_first(page, page + 1);
    if (found == NULL)
        goto done;
    const struct space_mapping *mapping = &found->entry.mapping;
    out->protection = mapping->protection;
    if (mapping->kind == SPACE_PINNED || !space.distributed) {
        out->kind = WIRE_MAPPING_PINNED;
        goto done;
    }
    if (!access_allowed(fault, mapping->protection))
        goto done;
    if (mapping->kind == SPACE_FILE && ((mapping->protection & PROT_WRITE) || !file_has_page(page))) {
        out->kind = WIRE_MAPPING_PINNED;
        goto done;
    }
    uint64_t window = page & ~(SPACE_WINDOW_BYTES - 1);
    out->start = mapping->start > window ? mapping->start : window;
    out->end = mapping->end < window + SPACE_WINDOW_BYTES ? mapping->end : window + SPACE_WINDOW_BYTES;
    out->kind = mapping->kind == SPACE_FILE ? WIRE_MAPPING_FILE : WIRE_MAPPING_MEMORY;
    if (!(mapping->nodes & bit))
        space_change(out->start, out->end, change_known, &bit);
done:
    space_leave();
}

/* ---- distribution and fork ------------------------------------------------------------ */

static void copies_advise(int advice)
{
    for (const struct space_node *node = space_tree_from(0); node; node = space_tree_from(node->entry.mapping.end)) {
        const struct space_mapping *mapping = &node->entry.mapping;
        if (mapping->kind == SPACE_MEMORY && !node->entry.not_forked) /* it is only a help: errors do not matter */
            kernel_call(SYS_madvise, (long)mapping->start, (long)(mapping->end - mapping->start), advice, 0, 0, 0);
    }
}

void space_copy_prevent(void)
{
    lock_acquire(&space.lock);
    copies_advise(MADV_DONTFORK);
}

void space_copy_allow(void)
{
    copies_advise(MADV_DOFORK);
    lock_release(&space.lock);
}

int space_distribute(void)
{
    int error = space_enter();
    if (error != 0)
        return error;
    if (space.distributed)
        goto done;
    size_t registered = 0;
    int refused = 0;
    const struct space_node *node = space_tree_from(0);
    while (node) {
        uint64_t start = node->entry.mapping.start, end = node->entry.mapping.end;
        if (node->entry.mapping.kind == SPACE_MEMORY) {
            int result = pager_register(start, end - start);
            if (result == 0) {
                registered++;
            } else {
                refused = result;
                space_pin(start, end);
            }
        }
        node = space_tree_from(end);
    }
    if (registered == 0)
        error = refused;
    space.distributed = error == 0;
done:
    space_leave();
    return error;
}

void space_fork_prepare(void)
{
    lock_acquire(&space.lock);
}

void space_fork_parent(void)
{
    lock_release(&space.lock);
}

void space_fork_child(void)
{
    /* The thread that holds the lock in this copy is the parent's. */
    space.lock = (struct lock){0};
    space.distributed = space.shared = false;
    space_change(0, SPAN_ZONE_END, change_unknown, NULL);
}
