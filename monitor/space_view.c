/*
 * Views: what a file holds that was copied into memory, for MADV_DONTNEED, which brings a file's contents back.
 * Not for the copies themselves (space_copy.c).
 *
 * A view is a read-only mapping of the file in the runtime zone: no descriptor is kept, and no page of it is read
 * before it is needed. Views are kept for the life of the process, one for each part of a file, however often it is
 * mapped.
 */
#include <stdlib.h>

#include "monitor/space_private.h"

struct view {
    uint64_t device, inode, offset, bytes, start;
    struct view *next;
};

static struct view *views;
static struct lock views_lock;

static uint64_t view_find(uint64_t device, uint64_t inode, uint64_t offset, uint64_t bytes)
{
    for (const struct view *view = views; view != NULL; view = view->next)
        if (view->device == device && view->inode == inode && offset >= view->offset &&
            offset - view->offset < view->bytes && bytes <= view->bytes - (offset - view->offset))
            return view->start + (offset - view->offset);
    return 0;
}

uint64_t space_view_find(uint64_t device, uint64_t inode, uint64_t offset, uint64_t bytes)
{
    lock_acquire(&views_lock);
    uint64_t found = view_find(device, inode, offset, bytes);
    lock_release(&views_lock);
    return found;
}

void space_view_add(const struct stat *status, uint64_t offset, uint64_t bytes, int fd)
{
    lock_acquire(&views_lock);
    if (view_find(status->st_dev, status->st_ino, offset, bytes) == 0) {
        struct view *view = malloc(sizeof *view);
        long start = kernel_mmap(0, bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
        if (view != NULL && start > 0) {
            *view = (struct view){status->st_dev, status->st_ino, offset, bytes, (uint64_t)start, views};
            views = view;
        } else {
            free(view); /* the contents will not come back: as good as an advice not taken */
        }
    }
    lock_release(&views_lock);
}
