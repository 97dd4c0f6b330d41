/*
 * Taking a page away with its contents in one step: UFFDIO_MOVE into a place of our own, from where they are read; and
 * what else a move tells: that the kernel holds the page. Not for pages that stay (userfault.c).
 *
 * Protecting, reading and discarding a page are three operations, and two of them make every processor forget its
 * translation, which costs more than all else. A move does that once. It needs Linux 6.8, memory that can be written
 * and that no other process shares, and the same access rights on both sides; everything else takes the three steps.
 *
 * Sources: ioctl_userfaultfd(2), UFFDIO_MOVE in Documentation/admin-guide/mm/userfaultfd.rst.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "runtime/pager_private.h"

#ifndef UFFDIO_MOVE
#define UFFDIO_MOVE               _IOWR(UFFDIO, 0x05, struct userfault_move)
#define UFFD_FEATURE_MOVE         (1 << 16)
#define UFFDIO_MOVE_MODE_DONTWAKE ((uint64_t)1 << 0)
#endif

/* As linux/userfaultfd.h has it since 6.8. */
struct userfault_move {
    uint64_t to, from, bytes, mode;
    int64_t moved;
};
_Static_assert(sizeof(struct userfault_move) == 40, "the kernel's struct uffdio_move");

/* More than 33 pages are forgotten at once, by the kernel's reckoning, at the price of one. */
#define TAKEN_MAX 64u

uint64_t userfault_take_feature(void)
{
    return UFFD_FEATURE_MOVE;
}

void userfault_take_open(struct userfault *userfault)
{
    void *place = mmap(NULL, TAKEN_MAX * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED)
        return;
    if (userfault_register(userfault, (uint64_t)place, TAKEN_MAX * PAGE_BYTES, true) != 0) {
        munmap(place, TAKEN_MAX * PAGE_BYTES);
        return;
    }
    userfault->taken = place;
    userfault->taken_count = 0;
}

void userfault_take_close(struct userfault *userfault)
{
    if (userfault->taken != NULL)
        munmap(userfault->taken, TAKEN_MAX * PAGE_BYTES);
    userfault->taken = NULL;
}

/* 0: the page is gone, and its contents are in `data`. Negative errno: it cannot be moved. */
static int page_move(struct userfault *userfault, uint64_t page, void *data)
{
    if (userfault->taken == NULL)
        return -ENOSYS;
    if (userfault->taken_count == TAKEN_MAX) {
        if (madvise(userfault->taken, TAKEN_MAX * PAGE_BYTES, MADV_DONTNEED) != 0)
            return -errno;
        userfault->taken_count = 0;
    }
    uint8_t *place = userfault->taken + (size_t)userfault->taken_count * PAGE_BYTES;
    struct userfault_move request = {
        .to = (uint64_t)place,
        .from = page << PAGE_SHIFT,
        .bytes = PAGE_BYTES,
        .mode = UFFDIO_MOVE_MODE_DONTWAKE,
    };
    if (ioctl(userfault->fd, UFFDIO_MOVE, &request) != 0)
        return -errno;
    if (request.moved != (int64_t)PAGE_BYTES)
        return -EAGAIN;
    userfault->taken_count++;
    memcpy(data, place, PAGE_BYTES);
    return 0;
}

int userfault_take(struct userfault *userfault, uint64_t page, void *data, bool force)
{
    int moved = page_move(userfault, page, data);
    if (moved == 0)
        return userfault_is_zero(data);
    if (moved == -EBUSY && !force)
        return -EBUSY;
    int result = userfault_protect(userfault, page);
    if (result != 0)
        return result;
    int zero = userfault_read(userfault, page, data, true);
    if (zero < 0)
        return zero;
    userfault_discard(userfault, &page, 1);
    return zero;
}

/* Away and back: a page that the kernel holds does not move. */
int userfault_seal(struct userfault *userfault, uint64_t page)
{
    static uint8_t contents[PAGE_BYTES];
    int moved = page_move(userfault, page, contents);
    if (moved == 0)
        moved = userfault_install(userfault, page, contents, false);
    else if (moved == -EAGAIN || moved == -EINTR)
        moved = -EBUSY; /* something is being done to it right now */
    else if (moved != -EBUSY)
        moved = -EEXIST; /* it cannot be moved: then it cannot be told either */
    return moved == -EEXIST ? userfault_protect(userfault, page) : moved;
}
