/*
 * The monitor domain's heap: malloc and its family for our static programs, in the runtime zone
 * only. Not for the program's memory: its own libc asks the kernel (that is, monitor/space.c) for
 * that.
 *
 * Memory comes from mmap and never from brk, which belongs to the program. One lock, no caches for
 * each thread, so that a thread made and ended by raw clone and exit leaves nothing behind. A
 * double free, a pointer that was never allocated, and a write to freed memory end the process with
 * a message: the heap is shared with the program's address space, and a corrupt monitor must not go
 * on serving it.
 */
#ifndef RUNTIME_HEAP_H
#define RUNTIME_HEAP_H

#include <stddef.h>

/* As malloc, free, realloc, memalign and malloc_usable_size, which runtime/heap_malloc.c defines by
 * these. Errors are NULL; errno is not touched. `alignment` is a power of two. heap_allocate_zeroed
 * is calloc of one element. */
void *heap_allocate(size_t size);
void *heap_allocate_zeroed(size_t size);
void *heap_allocate_aligned(size_t alignment, size_t size);
void *heap_resize(void *pointer, size_t size);
void heap_free(void *pointer);
size_t heap_usable_bytes(void *pointer);

/*
 * Around a fork made by the raw clone system call, in a process with several threads: prepare takes
 * the heap's lock, and parent or child releases it. Between them the caller must not allocate or
 * free. Any thread of the monitor domain.
 */
void heap_fork_prepare(void);
void heap_fork_parent(void);
void heap_fork_child(void);

/* Bytes of address space that the heap has mapped now, and blocks that are allocated. For tests and
 * statistics. */
void heap_counters(size_t *bytes_mapped, size_t *blocks);

#endif
