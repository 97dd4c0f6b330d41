/*
 * Taking a page away with its contents in one step: UFFDIO_MOVE into a place of our own, from where they are read; and
 * what else a move tells: that the kernel holds the page. Not for pages that stay (userfault.c).
 *
 * Protecting, reading and discarding a page are three operations, and two of them make every processor forget its
 * translation, which costs more than all else. A move does that once. It needs Linux 6.8, memory that can be written
 * and that no other process shares, and the same access rights on both sides, locked or not; everything else takes the
 * three steps.
 *
 * Sources: ioctl_userfaultfd(2), UFFDIO_MOVE in Documentation/admin-guide/mm/userfaultfd.rst.
 */
#include <errno.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/pager_private.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
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

static bool place_open(const struct userfault *userfault, struct userfault_place *place, bool executable, bool locked)
{
    const size_t bytes = TAKEN_MAX * PAGE_BYTES;
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    if (!locked)
        munlock(at, bytes); /* the program may have asked for all memory to be locked, and there; peers may not ask */
    if ((locked && mlock2(at, bytes, MLOCK_ONFAULT) != 0) || madvise(at, bytes, MADV_DONTNEED_LOCKED) != 0 ||
        userfault_register(userfault, (uint64_t)at, bytes, true) != 0) {
        munmap(at, bytes);
        return false;
    }
    place->pages = at;
    place->used = 0;
    return true;
}

void userfault_take_open(struct userfault *userfault)
{
    userfault->takes = place_open(userfault, &userfault->places[0], false, false);
}

void userfault_take_close(struct userfault *userfault)
{
    for (unsigned i = 0; i < USERFAULT_PLACES; i++) {
        if (userfault->places[i].pages != NULL)
            munmap(userfault->places[i].pages, TAKEN_MAX * PAGE_BYTES);
        userfault->places[i] = (struct userfault_place){0};
    }
    userfault->takes = false;
}

/* 0: the page is gone, and its contents are in `data`. Negative errno: it cannot be moved there. */
static int page_move_to(const struct userfault *userfault, struct userfault_place *place, uint64_t page, void *data)
{
    if (place->used == TAKEN_MAX) {
        if (madvise(place->pages, TAKEN_MAX * PAGE_BYTES, MADV_DONTNEED_LOCKED) != 0)
            return -errno;
        place->used = 0;
    }
    uint8_t *to = place->pages + (size_t)place->used * PAGE_BYTES;
    struct userfault_move request = {
        .to = (uint64_t)to,
        .from = page << PAGE_SHIFT,
        .bytes = PAGE_BYTES,
        .mode = UFFDIO_MOVE_MODE_DONTWAKE,
    };
    if (ioctl(userfault->fd, UFFDIO_MOVE, &request) != 0)
        return -errno;
    if (request.moved != (int64_t)PAGE_BYTES)
        return -EAGAIN;
    place->used++;
    memcpy(data, to, PAGE_BYTES);
    return 0;
}

/* To a place with the same rights; most memory is neither executable nor locked. */
static int page_move(struct userfault *userfault, uint64_t page, void *data)
{
    if (!userfault->takes)
        return -ENOSYS;
    int moved = -EINVAL;
    for (unsigned i = 0; i < USERFAULT_PLACES && moved == -EINVAL; i++) {
        struct userfault_place *place = &userfault->places[i];
        if (place->pages == NULL && !place->refused && !place_open(userfault, place, i & 1, i & 2))
            place->refused = true;
        if (place->pages != NULL)
            moved = page_move_to(userfault, place, page, data);
    }
    return moved;
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

/*
 * Makes a page that a fork has left shared one's own again, as a write of the program's would: an atomic addition of 0
 * by the kernel, which does not wait for a page that is missing or protected but fails.
 */
static void page_unshare(uint64_t page)
{
    static uint32_t nobody_waits;
    const uint32_t add_nothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);
    syscall(SYS_futex, &nobody_waits, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, page << PAGE_SHIFT, add_nothing);
}

/* Away and back: a page that the kernel holds does not move. Nor does one that is shared. */
int userfault_seal(struct userfault *userfault, uint64_t page)
{
    static uint8_t contents[PAGE_BYTES];
    int moved = page_move(userfault, page, contents);
    if (moved == -EBUSY && userfault_unprotect(userfault, page) == 0) {
        page_unshare(page);
        moved = page_move(userfault, page, contents);
    }
    if (moved == 0)
        moved = userfault_install(userfault, page, contents, false);
    else if (moved == -EAGAIN || moved == -EINTR)
        moved = -EBUSY; /* something is being done to it right now */
    else if (moved != -EBUSY)
        moved = -EEXIST; /* it cannot be moved: then it cannot be told either */
    return moved == -EEXIST ? userfault_protect(userfault, page) : moved;
}
