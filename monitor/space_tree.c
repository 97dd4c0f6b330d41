/*
 * The mappings ordered by address: a treap whose subtrees know their largest hole, so that a place
 * for a new mapping is found in logarithmic time however many there are. Not for what the mappings
 * mean (monitor/space.c). The caller holds the space lock.
 */
#include <errno.h>

#include "monitor/fatal.h"
#include "monitor/space_private.h"

#define BLOCK_BYTES (256u * 1024u)

static struct space_node *root, *free_nodes; /* free nodes are linked by `left` */
static struct space_node *fresh_nodes;       /* `fresh_count` that were never used, and are not in memory yet */
static size_t free_count, fresh_count, node_count;
static uint32_t random_state = 0x9e3779b9u;

int space_tree_reserve(size_t count)
{
    while (free_count + fresh_count < count) {
        for (; fresh_count > 0; fresh_count--) { /* fewer than are wanted */
            fresh_nodes->left = free_nodes;
            free_nodes = fresh_nodes++;
            free_count++;
        }
        long block = kernel_mmap(0, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block < 0)
            return -ENOMEM;
        fresh_nodes = (struct space_node *)block;
        fresh_count = BLOCK_BYTES / sizeof *fresh_nodes;
    }
    return 0;
}

struct space_node *space_tree_node(void)
{
    struct space_node *node = free_nodes;
    if (node != NULL) {
        free_nodes = node->left;
        free_count--;
    } else {
        SPAN_ASSERT(fresh_count > 0);
        node = fresh_nodes++;
        fresh_count--;
    }
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    node->priority = random_state;
    node->left = node->right = NULL;
    return node;
}

static inline uint64_t start_of(const struct space_node *node)
{
    return node->entry.mapping.start;
}
static inline uint64_t end_of(const struct space_node *node)
{
    return node->entry.mapping.end;
}
static inline uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static inline uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the node knows of its subtree, from its children. */
static struct space_node *refresh(struct space_node *node)
{
    node->low = start_of(node);
    node->high = end_of(node);
    node->gap = 0;
    if (node->left) {
        node->low = node->left->low;
        node->gap = larger(node->left->gap, start_of(node) - node->left->high);
    }
    if (node->right) {
        node->high = node->right->high;
        node->gap = larger(node->gap, larger(node->right->gap, node->right->low - end_of(node)));
    }
    return node;
}

/* Mappings that start before `address`, and the others. */
static void split(struct space_node *node, uint64_t address, struct space_node **before, struct space_node **from)
{
    if (node == NULL) {
        *before = *from = NULL;
    } else if (start_of(node) < address) {
        split(node->right, address, &node->right, from);
        *before = refresh(node);
    } else {
        split(node->left, address, before, &node->left);
        *from = refresh(node);
    }
}

static struct space_node *join(struct space_node *low, struct space_node *high)
{
    if (low == NULL || high == NULL)
        return low ? low : high;
    if (low->priority > high->priority) {
        low->right = join(low->right, high);
        return refresh(low);
    }
    high->left = join(low, high->left);
    return refresh(high);
}

static struct space_node *insert(struct space_node *at, struct space_node *node)
{
    if (at == NULL || node->priority > at->priority) {
        split(at, start_of(node), &node->left, &node->right);
        return refresh(node);
    }
    if (start_of(node) < start_of(at))
        at->left = insert(at->left, node);
    else
        at->right = insert(at->right, node);
    return refresh(at);
}

void space_tree_insert(struct space_node *node)
{
    SPAN_ASSERT(start_of(node) < end_of(node));
    root = insert(root, node);
    node_count++;
}

static struct space_node *take_out(struct space_node *at, const struct space_node *node)
{
    SPAN_ASSERT(at != NULL);
    if (at == node)
        return join(at->left, at->right);
    if (start_of(node) < start_of(at))
        at->left = take_out(at->left, node);
    else
        at->right = take_out(at->right, node);
    return refresh(at);
}

void space_tree_remove(struct space_node *node)
{
    root = take_out(root, node);
    node_count--;
    node->left = free_nodes;
    free_nodes = node;
    free_count++;
}

static void refresh_path(struct space_node *at, const struct space_node *node)
{
    SPAN_ASSERT(at != NULL);
    if (at != node)
        refresh_path(start_of(node) < start_of(at) ? at->left : at->right, node);
    refresh(at);
}

void space_tree_resize(struct space_node *node, uint64_t start, uint64_t end)
{
    SPAN_ASSERT(start < end);
    node->entry.mapping.start = start;
    node->entry.mapping.end = end;
    refresh_path(root, node);
}

struct space_node *space_tree_from(uint64_t address)
{
    struct space_node *found = NULL;
    for (struct space_node *at = root; at;) {
        if (end_of(at) > address) {
            found = at;
            at = at->left;
        } else {
            at = at->right;
        }
    }
    return found;
}

struct space_node *space_tree_before(uint64_t address)
{
    struct space_node *found = NULL;
    for (struct space_node *at = root; at;) {
        if (start_of(at) < address) {
            found = at;
            at = at->right;
        } else {
            at = at->left;
        }
    }
    return found;
}

/* Where the hole below this mapping ends: the kernel lets a growing stack keep its distance. */
static uint64_t hole_end(const struct space_node *node)
{
    uint64_t start = start_of(node);
    if (!(node->entry.mapping.flags & MAP_GROWSDOWN))
        return start;
    return start > SPACE_STACK_GAP ? start - SPACE_STACK_GAP : 0;
}

/* [floor, ceiling) has no mappings but those of the subtree. */
static uint64_t hole(const struct space_node *at, uint64_t floor, uint64_t ceiling, uint64_t bytes)
{
    if (ceiling <= floor || ceiling - floor < bytes)
        return 0;
    if (at == NULL)
        return ceiling;
    bool below = at->low > floor && smaller(at->low, ceiling) - floor >= bytes;
    bool above = at->high < ceiling && ceiling - larger(at->high, floor) >= bytes;
    if (at->gap < bytes && !below && !above)
        return 0;
    uint64_t found = hole(at->right, larger(floor, end_of(at)), ceiling, bytes);
    if (found)
        return found;
    return hole(at->left, floor, smaller(ceiling, hole_end(at)), bytes);
}

uint64_t space_tree_hole(uint64_t floor, uint64_t ceiling, uint64_t bytes)
{
    return hole(root, floor, ceiling, bytes);
}

size_t space_tree_count(void)
{
    return node_count;
}
