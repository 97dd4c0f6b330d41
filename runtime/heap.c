/*
 * Blocks for the monitor domain: size classes in chunks of 1 MiB, large blocks by their own mmap.
 * Not for libc's names (heap_malloc.c).
 *
 * A chunk is aligned to its size and divided into slabs of 64 KiB. A slab holds objects of one
 * class; a bit for each tells whether it is allocated, so that freeing twice is always seen.
 * The bits live in the chunk's header, away from what the users write. A static map of bits tells
 * which addresses are chunks, so that a pointer can be judged before anything it points to is read.
 * A freed object carries a poison word that is checked when it is given out again.
 *
 * Static data starts as zero and needs no constructor: the first call may come from libc's own
 * start-up.
 */
#include "runtime/heap.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/kernel.h"
#include "runtime/lock.h"
#include "runtime/wire.h"

#define CHUNK_BYTES      (1ul << 20)
#define SLAB_BYTES       (64ul << 10)
#define SLABS_PER_CHUNK  16
#define OBJECT_BYTES_MIN 16ul
#define OBJECT_BYTES_MAX (32ul << 10)
#define SLAB_WORDS       (SLAB_BYTES / OBJECT_BYTES_MIN / 64)
#define CLASS_LIMIT      48
#define CLASS_NONE       255

#define RUNTIME_ZONE_END 0x800000000000ul
#define CHUNK_NUMBERS    ((RUNTIME_ZONE_END - SPAN_ZONE_END) / CHUNK_BYTES)

#define CHUNK_MAGIC  0x6b6e756863707368ul
#define LARGE_MAGIC  0x656772616c707368ul
#define POISON       0xdeadbeefdeadbeeful
#define LARGE_HEADER 64ul

struct slab {
    uint8_t size_class; /* CLASS_NONE: not in use */
    uint8_t number;     /* in its chunk */
    uint16_t used;      /* objects that are allocated */
    uint16_t fresh;     /* objects from this one on never were since the slab got its class */
    uint16_t count;     /* of objects */
    uint16_t search;    /* words of `bits` before this one are full */
    uint32_t object_bytes;
    struct slab *next, *previous; /* slabs of the class that have room */
    uint64_t bits[SLAB_WORDS];
};

struct chunk {
    uint64_t magic;
    struct chunk *next, *previous; /* all chunks */
    unsigned slabs_used;
    unsigned slabs_begun; /* slabs from here on were never used */
    struct slab slabs[SLABS_PER_CHUNK];
};

struct large {
    uint64_t magic;
    uint64_t start, bytes; /* of the mapping */
    uint64_t check;        /* of the three before */
};

_Static_assert(sizeof(struct large) <= LARGE_HEADER, "fits before the block");
_Static_assert(sizeof(struct chunk) <= SLAB_BYTES / 4, "leaves most of the first slab");

static struct lock heap_lock;
static struct chunk *chunks;
static struct slab *slabs_with_room[CLASS_LIMIT];
static uint64_t chunk_map[CHUNK_NUMBERS / 64];
static size_t mapped_bytes, large_count; /* changed without the lock */
static size_t object_count;
static unsigned chunks_empty;

static _Noreturn void heap_fatal(const char *what)
{
    const char prefix[] = "ld-span: the monitor's heap is damaged: ", end[] = " (please report this)\n";
    kernel_call(SYS_write, 2, (long)prefix, sizeof prefix - 1, 0, 0, 0);
    kernel_call(SYS_write, 2, (long)what, (long)strlen(what), 0, 0, 0);
    kernel_call(SYS_write, 2, (long)end, sizeof end - 1, 0, 0, 0);
    for (;;)
        __builtin_trap();
}

/* ---- memory from the kernel ---- */

static long memory_map(uint64_t hint, size_t size)
{
    return kernel_call(SYS_mmap, (long)hint, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void memory_unmap(uint64_t start, size_t size)
{
    if (size && kernel_call(SYS_munmap, (long)start, (long)size, 0, 0, 0, 0) != 0)
        heap_fatal("cannot unmap");
}

/*
 * Fresh memory in the runtime zone, 0 when there is none. The kernel places it there by itself,
 * except in its old layout (unlimited stack, ADDR_COMPAT_LAYOUT): then places are tried one after
 * the other.
 */
static uint64_t memory_obtain(size_t size)
{
    static uint64_t hint = SPAN_ZONE_END + (1ul << 40);
    long start = memory_map(0, size);
    if (start >= 0 && (uint64_t)start < SPAN_ZONE_END) {
        memory_unmap((uint64_t)start, size);
        uint64_t place = __atomic_fetch_add(&hint, (size + 2 * CHUNK_BYTES) & -CHUNK_BYTES, __ATOMIC_RELAXED);
        start = memory_map(place, size);
    }
    if (start < 0 && start > -4096)
        return 0;
    if ((uint64_t)start < SPAN_ZONE_END || (uint64_t)start + size > RUNTIME_ZONE_END)
        heap_fatal("the kernel gave memory that belongs to the program");
    __atomic_fetch_add(&mapped_bytes, size, __ATOMIC_RELAXED);
    return (uint64_t)start;
}

static void memory_return(uint64_t start, size_t size)
{
    memory_unmap(start, size);
    __atomic_fetch_sub(&mapped_bytes, size, __ATOMIC_RELAXED);
}

/* As memory_obtain, aligned to `alignment` (a power of two of pages, or less). */
static uint64_t memory_obtain_aligned(size_t size, size_t alignment)
{
    if (alignment <= PAGE_BYTES)
        return memory_obtain(size);
    size_t more = alignment - PAGE_BYTES;
    if (size > SIZE_MAX / 2 - more)
        return 0;
    uint64_t start = memory_obtain(size + more);
    if (!start)
        return 0;
    uint64_t aligned = (start + alignment - 1) & -alignment;
    if (aligned > start)
        memory_return(start, aligned - start);
    if (start + more > aligned)
        memory_return(aligned + size, start + more - aligned);
    return aligned;
}

/* ---- classes ---- */

/* Up to 128 in steps of 16, then four to each doubling. */
static unsigned class_of(size_t size)
{
    if (size <= 128)
        return size ? (unsigned)((size + 15) / 16 - 1) : 0;
    unsigned power = 63 - (unsigned)__builtin_clzl(size - 1); /* 2^power < size <= 2^(power+1) */
    return 8 + (power - 7) * 4 + (unsigned)(((size - 1) >> (power - 2)) & 3);
}

static size_t class_bytes(unsigned size_class)
{
    if (size_class < 8)
        return (size_class + 1) * 16;
    unsigned power = 7 + (size_class - 8) / 4;
    return ((size_t)(size_class - 8) % 4 + 5) << (power - 2);
}

/* ---- chunks and slabs ---- */

static bool chunk_known(uint64_t address)
{
    if (address < SPAN_ZONE_END || address >= RUNTIME_ZONE_END)
        return false;
    uint64_t number = (address - SPAN_ZONE_END) / CHUNK_BYTES;
    return __atomic_load_n(&chunk_map[number / 64], __ATOMIC_RELAXED) >> (number % 64) & 1;
}

static void chunk_mark(const struct chunk *chunk, bool known)
{
    uint64_t number = ((uint64_t)chunk - SPAN_ZONE_END) / CHUNK_BYTES, bit = 1ul << (number % 64);
    if (known)
        __atomic_fetch_or(&chunk_map[number / 64], bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&chunk_map[number / 64], ~bit, __ATOMIC_RELAXED);
}

static struct chunk *slab_chunk(const struct slab *slab)
{
    return (struct chunk *)((uint64_t)slab & -CHUNK_BYTES);
}

/* The first object: the chunk's header takes the beginning of the first slab, objects stay aligned
 * to their size there. */
static uint64_t slab_objects(const struct slab *slab)
{
    uint64_t start = (uint64_t)slab_chunk(slab) + slab->number * SLAB_BYTES;
    if (slab->number > 0)
        return start;
    uint64_t align = slab->object_bytes & -slab->object_bytes;
    return (start + sizeof(struct chunk) + align - 1) & -align;
}

static struct chunk *chunk_create(void)
{
    struct chunk *chunk = (struct chunk *)memory_obtain_aligned(CHUNK_BYTES, CHUNK_BYTES);
    if (!chunk)
        return NULL;
    chunk->magic = CHUNK_MAGIC;
    chunk->next = chunks;
    if (chunks)
        chunks->previous = chunk;
    chunks = chunk;
    chunks_empty++;
    chunk_mark(chunk, true);
    return chunk;
}

static void chunk_destroy(struct chunk *chunk)
{
    if (chunk->next)
        chunk->next->previous = chunk->previous;
    *(chunk->previous ? &chunk->previous->next : &chunks) = chunk->next;
    chunk_mark(chunk, false);
    memory_return((uint64_t)chunk, CHUNK_BYTES);
}

static struct slab *chunk_free_slab(struct chunk *chunk)
{
    for (unsigned i = 0; i < chunk->slabs_begun; i++)
        if (chunk->slabs[i].size_class == CLASS_NONE)
            return &chunk->slabs[i];
    if (chunk->slabs_begun == SLABS_PER_CHUNK)
        return NULL;
    struct slab *slab = &chunk->slabs[chunk->slabs_begun];
    slab->number = (uint8_t)chunk->slabs_begun++;
    return slab;
}

static void room_add(struct slab *slab)
{
    slab->previous = NULL;
    slab->next = slabs_with_room[slab->size_class];
    if (slab->next)
        slab->next->previous = slab;
    slabs_with_room[slab->size_class] = slab;
}

static void room_remove(struct slab *slab)
{
    if (slab->next)
        slab->next->previous = slab->previous;
    *(slab->previous ? &slab->previous->next : &slabs_with_room[slab->size_class]) = slab->next;
}

static struct slab *slab_create(unsigned size_class)
{
    struct chunk *chunk = chunks;
    while (chunk && chunk->slabs_used == SLABS_PER_CHUNK)
        chunk = chunk->next;
    if (!chunk && !(chunk = chunk_create()))
        return NULL;
    struct slab *slab = chunk_free_slab(chunk);
    if (chunk->magic != CHUNK_MAGIC || !slab)
        heap_fatal("a chunk's header was overwritten");
    if (chunk->slabs_used++ == 0)
        chunks_empty--;
    slab->size_class = (uint8_t)size_class;
    slab->object_bytes = (uint32_t)class_bytes(size_class);
    slab->used = slab->fresh = slab->search = 0;
    uint64_t end = (uint64_t)chunk + (slab->number + 1) * SLAB_BYTES;
    slab->count = (uint16_t)((end - slab_objects(slab)) / slab->object_bytes);
    room_add(slab);
    return slab;
}

/* An empty slab goes back to its chunk, and the chunk to the kernel, but one of each is kept
 * against back and forth. */
static void slab_release(struct slab *slab)
{
    if (slabs_with_room[slab->size_class] == slab && !slab->next)
        return;
    struct chunk *chunk = slab_chunk(slab);
    room_remove(slab);
    slab->size_class = CLASS_NONE;
    if (--chunk->slabs_used > 0)
        return;
    if (chunks_empty > 0)
        chunk_destroy(chunk);
    else
        chunks_empty++;
}

/* ---- objects ---- */

static void *object_take(struct slab *slab)
{
    unsigned word = slab->search;
    while (slab->bits[word] == UINT64_MAX)
        word++;
    slab->search = (uint16_t)word;
    unsigned number = word * 64 + (unsigned)__builtin_ctzl(~slab->bits[word]);
    if (number >= slab->count || slab->used >= slab->count)
        heap_fatal("a slab's header was overwritten");
    slab->bits[word] |= 1ul << (number % 64);
    uint64_t *object = (uint64_t *)(slab_objects(slab) + (uint64_t)number * slab->object_bytes);
    if (number >= slab->fresh)
        slab->fresh = (uint16_t)(number + 1);
    else if (object[0] != (POISON ^ (uint64_t)object) || object[1] != POISON)
        heap_fatal("a block was written after it was freed");
    if (++slab->used == slab->count)
        room_remove(slab);
    return object;
}

/* The slab and number of an object, or the end of the process: only what heap_allocate gave out is
 * accepted. */
static struct slab *object_find(const void *pointer, unsigned *number)
{
    struct chunk *chunk = (struct chunk *)((uint64_t)pointer & -CHUNK_BYTES);
    if (chunk->magic != CHUNK_MAGIC)
        heap_fatal("a chunk's header was overwritten");
    struct slab *slab = &chunk->slabs[((uint64_t)pointer - (uint64_t)chunk) / SLAB_BYTES];
    if (slab->size_class >= CLASS_LIMIT || slab->object_bytes == 0)
        heap_fatal("a pointer was freed that is not a block's");
    uint64_t objects = slab_objects(slab), offset = (uint64_t)pointer - objects;
    if ((uint64_t)pointer < objects || offset % slab->object_bytes || offset / slab->object_bytes >= slab->count)
        heap_fatal("a pointer was freed that is not a block's");
    *number = (unsigned)(offset / slab->object_bytes);
    if (!(slab->bits[*number / 64] >> (*number % 64) & 1))
        heap_fatal("a block was freed twice");
    return slab;
}

static void object_return(void *pointer)
{
    unsigned number;
    struct slab *slab = object_find(pointer, &number);
    uint64_t *object = pointer;
    object[0] = POISON ^ (uint64_t)object;
    object[1] = POISON;
    slab->bits[number / 64] &= ~(1ul << (number % 64));
    if (number / 64 < slab->search)
        slab->search = (uint16_t)(number / 64);
    if (slab->used-- == slab->count)
        room_add(slab);
    if (slab->used == 0)
        slab_release(slab);
}

/* ---- large blocks ---- */

static uint64_t large_check(const struct large *large)
{
    return (large->magic ^ large->start * 3 ^ large->bytes * 5) + (uint64_t)large;
}

static struct large *large_find(const void *pointer)
{
    struct large *large = (struct large *)((uint64_t)pointer - LARGE_HEADER);
    if ((uint64_t)pointer % OBJECT_BYTES_MIN || (uint64_t)large < SPAN_ZONE_END || large->magic != LARGE_MAGIC ||
        large->check != large_check(large))
        heap_fatal("a pointer was freed that is not a block's, or what is before a large block was "
                   "overwritten");
    return large;
}

static void *large_allocate(size_t size, size_t alignment)
{
    size_t before = alignment > LARGE_HEADER ? alignment : LARGE_HEADER;
    if (size > SIZE_MAX / 4 || before > SIZE_MAX / 4)
        return NULL;
    size_t bytes = (before + size + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
    uint64_t start = memory_obtain_aligned(bytes, alignment);
    if (!start)
        return NULL;
    uint64_t block = start + before;
    /* With a large alignment most of what is before the block is of no use. */
    uint64_t header = (block - LARGE_HEADER) & -(uint64_t)PAGE_BYTES;
    if (header > start) {
        memory_return(start, header - start);
        bytes -= header - start;
        start = header;
    }
    struct large *large = (struct large *)(block - LARGE_HEADER);
    *large = (struct large){.magic = LARGE_MAGIC, .start = start, .bytes = bytes};
    large->check = large_check(large);
    __atomic_fetch_add(&large_count, 1, __ATOMIC_RELAXED);
    return (void *)block;
}

static void large_free(void *pointer)
{
    struct large *large = large_find(pointer);
    uint64_t start = large->start, bytes = large->bytes;
    large->magic = 0;
    __atomic_fetch_sub(&large_count, 1, __ATOMIC_RELAXED);
    memory_return(start, bytes);
}

static size_t large_bytes(const struct large *large)
{
    return large->start + large->bytes - (uint64_t)large - LARGE_HEADER;
}

/* Grows or shrinks by moving pages, not bytes. NULL: not possible, the block is as it was. */
static void *large_resize(void *pointer, size_t size)
{
    struct large *large = large_find(pointer);
    size_t before = (uint64_t)pointer - large->start, old = large->bytes;
    size_t bytes = (before + size + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
    if (bytes == old)
        return pointer;
    long start = kernel_call(SYS_mremap, (long)large->start, (long)old, (long)bytes, MREMAP_MAYMOVE, 0, 0);
    if (start < 0 && start > -4096)
        return NULL;
    if ((uint64_t)start < SPAN_ZONE_END)
        heap_fatal("the kernel gave memory that belongs to the program");
    __atomic_fetch_add(&mapped_bytes, bytes - old, __ATOMIC_RELAXED);
    uint64_t block = (uint64_t)start + before;
    large = (struct large *)(block - LARGE_HEADER);
    large->start = (uint64_t)start;
    large->bytes = bytes;
    large->check = large_check(large);
    return (void *)block;
}

/* ---- the heap ---- */

void *heap_allocate(size_t size)
{
    if (size > OBJECT_BYTES_MAX)
        return large_allocate(size, OBJECT_BYTES_MIN);
    unsigned size_class = class_of(size);
    lock_acquire(&heap_lock);
    struct slab *slab = slabs_with_room[size_class];
    if (!slab)
        slab = slab_create(size_class);
    void *object = slab ? object_take(slab) : NULL;
    object_count += object != NULL;
    lock_release(&heap_lock);
    return object;
}

void *heap_allocate_zeroed(size_t size)
{
    void *pointer = heap_allocate(size);
    if (pointer && size <= OBJECT_BYTES_MAX)
        memset(pointer, 0, size);
    return pointer;
}

void *heap_allocate_aligned(size_t alignment, size_t size)
{
    if (alignment <= OBJECT_BYTES_MIN)
        return heap_allocate(size);
    /* Objects whose size is a power of two are aligned to it. */
    size_t power = alignment;
    while (power < size && power <= OBJECT_BYTES_MAX)
        power *= 2;
    return power <= OBJECT_BYTES_MAX ? heap_allocate(power) : large_allocate(size, alignment);
}

void heap_free(void *pointer)
{
    if (!pointer)
        return;
    if (!chunk_known((uint64_t)pointer)) {
        large_free(pointer);
        return;
    }
    lock_acquire(&heap_lock);
    object_return(pointer);
    object_count--;
    lock_release(&heap_lock);
}

size_t heap_usable_bytes(void *pointer)
{
    if (!pointer)
        return 0;
    if (!chunk_known((uint64_t)pointer))
        return large_bytes(large_find(pointer));
    unsigned number;
    lock_acquire(&heap_lock);
    size_t size = object_find(pointer, &number)->object_bytes;
    lock_release(&heap_lock);
    return size;
}

void *heap_resize(void *pointer, size_t size)
{
    if (!pointer)
        return heap_allocate(size);
    size_t old = heap_usable_bytes(pointer);
    if (old > OBJECT_BYTES_MAX && size > OBJECT_BYTES_MAX && size < SIZE_MAX / 4)
        return large_resize(pointer, size);
    if (size <= old && size >= old / 2)
        return pointer;
    void *moved = heap_allocate(size);
    if (!moved)
        return NULL;
    memcpy(moved, pointer, size < old ? size : old);
    heap_free(pointer);
    return moved;
}

void heap_fork_prepare(void)
{
    lock_acquire(&heap_lock);
}

void heap_fork_parent(void)
{
    lock_release(&heap_lock);
}

void heap_fork_child(void)
{
    heap_lock = (struct lock){0};
}

void heap_counters(size_t *bytes_mapped, size_t *blocks)
{
    *bytes_mapped = __atomic_load_n(&mapped_bytes, __ATOMIC_RELAXED);
    *blocks = __atomic_load_n(&object_count, __ATOMIC_RELAXED) + __atomic_load_n(&large_count, __ATOMIC_RELAXED);
}
