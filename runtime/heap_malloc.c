/*
 * libc's names for the heap, which replace libc's own in a static program: malloc(3),
 * posix_memalign(3). Not for how blocks are found (heap.c).
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "runtime/heap.h"
#include "runtime/kernel.h"
#include "runtime/wire.h"

#define EXPORTED __attribute__((visibility("default")))

/* What libc calls before TLS and before its own memcpy are set up, for the first thread's TLS; its
 * own version is brk. */
void *_dl_early_allocate(size_t size);

static void *result_checked(void *pointer)
{
    if (!pointer)
        errno = ENOMEM;
    return pointer;
}

EXPORTED void *malloc(size_t size)
{
    return result_checked(heap_allocate(size));
}

EXPORTED void free(void *pointer)
{
    heap_free(pointer);
}

EXPORTED void *calloc(size_t count, size_t size)
{
    size_t bytes;
    return result_checked(__builtin_mul_overflow(count, size, &bytes) ? NULL : heap_allocate_zeroed(bytes));
}

EXPORTED void *realloc(void *pointer, size_t size)
{
    if (pointer && size == 0) {
        heap_free(pointer);
        return NULL;
    }
    return result_checked(heap_resize(pointer, size));
}

EXPORTED void *reallocarray(void *pointer, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(pointer, bytes);
}

EXPORTED void *memalign(size_t alignment, size_t size)
{
    if (alignment == 0 || alignment & (alignment - 1)) {
        errno = EINVAL;
        return NULL;
    }
    return result_checked(heap_allocate_aligned(alignment, size));
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORTED int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment < sizeof(void *) || alignment & (alignment - 1))
        return EINVAL;
    void *pointer = heap_allocate_aligned(alignment, size);
    if (!pointer)
        return ENOMEM;
    *out = pointer;
    return 0;
}

EXPORTED void *valloc(size_t size)
{
    return memalign(PAGE_BYTES, size);
}

EXPORTED void *pvalloc(size_t size)
{
    if (size > SIZE_MAX - PAGE_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    return memalign(PAGE_BYTES, (size + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES);
}

EXPORTED size_t malloc_usable_size(void *pointer)
{
    return heap_usable_bytes(pointer);
}

void *_dl_early_allocate(size_t size)
{
    long start = kernel_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return start < 0 && start > -4096 ? NULL : (void *)start;
}
