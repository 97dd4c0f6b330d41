/*
 * Pages that have come from home, several at once: one call puts a run of them in place, where one for each would cost
 * more than all else that a peer does for a page. Peers only; between the frames of one turn, and only while nothing
 * but such pages comes: whatever else is done to a page finds them in place.
 */
#include <errno.h>
#include <string.h>

#include "runtime/pager_private.h"

#define INSTALL_PAGES 32u

static struct {
    uint64_t first;
    unsigned count;
    bool writable;
    uint8_t data[INSTALL_PAGES * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
} waiting;

/* The page that stopped the run. Coherence believes that it is here. */
static void install_alone(struct pager *pager, uint64_t page, const void *data)
{
    int result = userfault_install(&pager->userfault, page, data, waiting.writable);
    if (result == -EEXIST) { /* made behind our back: what is there is nobody's */
        userfault_discard(&pager->userfault, &page, 1);
        result = userfault_install(&pager->userfault, page, data, waiting.writable);
        PAGER_ASSERT(result != -EEXIST);
    }
    if (result != 0)
        coherence_install_failed(pager->coherence, page, data);
}

void pager_install_now(struct pager *pager)
{
    unsigned count = waiting.count;
    waiting.count = 0; /* what fails below is told, and telling must not come back here */
    for (unsigned done = 0; done < count;) {
        const uint8_t *data = waiting.data + (size_t)done * PAGE_BYTES;
        done += userfault_install_pages(&pager->userfault, waiting.first + done, data, count - done, waiting.writable);
        if (done < count) {
            install_alone(pager, waiting.first + done, waiting.data + (size_t)done * PAGE_BYTES);
            done++;
        }
    }
    for (unsigned i = 0; i < count; i++)
        pager_clock_stop(pager, waiting.first + i);
}

void pager_install_later(struct pager *pager, uint64_t page, const void *data, bool writable)
{
    if (waiting.count == INSTALL_PAGES || page != waiting.first + waiting.count || writable != waiting.writable)
        pager_install_now(pager);
    if (waiting.count == 0) {
        waiting.first = page;
        waiting.writable = writable;
    }
    memcpy(waiting.data + (size_t)waiting.count++ * PAGE_BYTES, data, PAGE_BYTES);
}
