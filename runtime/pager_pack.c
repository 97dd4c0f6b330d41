/*
 * Packing: pages go as zstd where the link is slower than packing them. Not for the protocol, which does not know of
 * it: a frame is packed when it is queued and unpacked when it has arrived.
 *
 * Whether it is worth while is reckoned for each frame. What a page costs to pack and what is left of it are learned
 * from those that were packed. The link's rate is what went through it in two round trips or more while something
 * waited; TCP's own estimate takes what a buffer on the way takes at once for the link. As long as there is none,
 * packing waits for something to wait. A rate that was measured too low would keep the link from ever being full again,
 * and so from being measured: it grows while nothing waits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "runtime/pager_private.h"

#define LEVEL         1
#define LOOK_NS       2000000u   /* how often the connection is asked about */
#define STALE_NS      100000000u /* a longer time between two looks says nothing */
#define GROW_NS       1000000000u
#define RATE_MAX      10000000000u /* bytes a second; nothing is packed for such a link */
#define BACKLOG_BYTES (64u * 1024u)
#define TRY_EVERY     64u /* frames that are not packed, until one is tried again: contents change */
#define SHARE_ONE     1024u

struct packer {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    uint64_t share;   /* of SHARE_ONE, what is left of a page */
    uint64_t page_ns; /* to pack one and unpack it again */
    unsigned skipped;
    uint8_t packed[WIRE_FRAME_BYTES_MAX], unpacked[WIRE_FRAME_BYTES_MAX];
};

int pager_pack_open(struct pager *pager)
{
    struct packer *packer = calloc(1, sizeof *packer);
    if (packer == NULL)
        return -ENOMEM;
    packer->compressor = ZSTD_createCCtx();
    packer->decompressor = ZSTD_createDCtx();
    packer->share = SHARE_ONE / 2;
    packer->page_ns = 20000;
    pager->packer = packer;
    if (packer->compressor == NULL || packer->decompressor == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(packer->compressor, ZSTD_c_compressionLevel, LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(packer->compressor, ZSTD_c_contentSizeFlag, 0))) {
        pager_pack_close(pager);
        return -ENOMEM;
    }
    return 0;
}

void pager_pack_close(struct pager *pager)
{
    if (pager->packer == NULL)
        return;
    ZSTD_freeCCtx(pager->packer->compressor);
    ZSTD_freeDCtx(pager->packer->decompressor);
    free(pager->packer);
    pager->packer = NULL;
}

/* What is known of the connection to the node, not older than LOOK_NS. */
static void link_look(struct pager_node *node, uint64_t now_ns)
{
    struct channel_link link;
    struct pager_link *known = &node->link;
    uint64_t passed_ns = now_ns - known->looked_ns;
    if (known->looked_ns != 0 && passed_ns < LOOK_NS)
        return;
    known->looked_ns = now_ns;
    if (channel_link(node->channel, &link) < 0)
        return;
    bool before = known->backlog && passed_ns < STALE_NS;
    known->backlog = link.unsent > BACKLOG_BYTES;
    if (!known->backlog) {
        if (now_ns - known->rate_ns > GROW_NS && known->rate < RATE_MAX) {
            known->rate += known->rate / 4;
            known->rate_ns = now_ns;
        }
        return;
    }
    uint64_t waited_ns = now_ns - known->since_ns;
    if (before && waited_ns < 2000u * (uint64_t)link.round_trip_us)
        return;
    if (before) {
        uint64_t rate = (link.acknowledged - known->acknowledged) * 1000000000u / waited_ns;
        known->rate = rate < known->rate / 2 || known->rate == 0 ? rate + 1 : (known->rate * 3 + rate) / 4 + 1;
        known->rate_ns = now_ns;
    }
    known->since_ns = now_ns;
    known->acknowledged = link.acknowledged;
}

static bool is_worth_while(const struct packer *packer, const struct pager_node *node, uint64_t share)
{
    if (node->link.rate == 0)
        return node->link.backlog;
    uint64_t saved_bytes = PAGE_BYTES * (SHARE_ONE - share) / SHARE_ONE;
    return share < SHARE_ONE && saved_bytes * 1000000000u / node->link.rate > packer->page_ns;
}

static bool is_wanted(struct pager *pager, unsigned number, uint64_t now_ns)
{
    struct packer *packer = pager->packer;
    struct pager_node *node = &pager->nodes[number];
    enum wire_compress compress = pager->configuration.compress;
    if (compress == WIRE_COMPRESS_ALWAYS)
        return true;
    if (compress == WIRE_COMPRESS_NEVER || pager->configuration.nodes_here >> number & 1)
        return false;
    link_look(node, now_ns);
    if (is_worth_while(packer, node, packer->share))
        return true;
    if (++packer->skipped < TRY_EVERY)
        return false;
    packer->skipped = 0;
    return is_worth_while(packer, node, SHARE_ONE / 4);
}

static void learn(uint64_t *average, uint64_t sample)
{
    *average = (*average * 15 + sample) / 16;
}

size_t pager_pack(struct pager *pager, unsigned node, const void *head, size_t head_bytes, const void *data,
                  size_t data_bytes, const void **out)
{
    struct packer *packer = pager->packer;
    uint64_t start_ns = pager_now_ns();
    if (packer == NULL || !is_wanted(pager, node, start_ns))
        return 0;
    struct wire_packed packed = {.bytes = (uint32_t)(head_bytes + data_bytes), .plain = (uint32_t)head_bytes};
    PAGER_ASSERT(packed.bytes <= WIRE_FRAME_BYTES_MAX && sizeof packed + head_bytes < sizeof packer->packed);
    uint8_t *body = packer->packed + sizeof packed + head_bytes;
    /* No room for what is hardly smaller: that ends early, and goes as it is. */
    size_t room = sizeof packer->packed - sizeof packed - head_bytes, most = data_bytes - data_bytes / 8;
    size_t left = ZSTD_compress2(packer->compressor, body, most < room ? most : room, data, data_bytes);
    uint64_t pages = (data_bytes + PAGE_BYTES - 1) / PAGE_BYTES;
    learn(&packer->page_ns, (pager_now_ns() - start_ns) * 4 / 3 / pages);
    learn(&packer->share, ZSTD_isError(left) ? SHARE_ONE : left * SHARE_ONE / data_bytes);
    if (ZSTD_isError(left))
        return 0;
    memcpy(packer->packed, &packed, sizeof packed);
    memcpy(packer->packed + sizeof packed, head, head_bytes);
    pager->bytes_saved += data_bytes - left;
    *out = packer->packed;
    return sizeof packed + head_bytes + left;
}

int pager_unpack(struct pager *pager, struct wire_frame *frame, const void **payload)
{
    struct packer *packer = pager->packer;
    struct wire_packed packed;
    if (!(frame->flags & WIRE_FRAME_PACKED))
        return 0;
    if (packer == NULL)
        return -ENOMEM;
    if (frame->bytes < sizeof packed)
        return -EPROTO;
    memcpy(&packed, *payload, sizeof packed);
    if (packed.bytes > WIRE_FRAME_BYTES_MAX || packed.plain > packed.bytes ||
        packed.plain > frame->bytes - sizeof packed)
        return -EPROTO;
    const uint8_t *plain = (const uint8_t *)*payload + sizeof packed;
    memcpy(packer->unpacked, plain, packed.plain);
    size_t bytes =
        ZSTD_decompressDCtx(packer->decompressor, packer->unpacked + packed.plain, packed.bytes - packed.plain,
                            plain + packed.plain, frame->bytes - sizeof packed - packed.plain);
    if (ZSTD_isError(bytes) || bytes != packed.bytes - packed.plain)
        return -EPROTO;
    *frame = (struct wire_frame){.bytes = packed.bytes, .type = frame->type};
    *payload = packer->unpacked;
    return 0;
}
