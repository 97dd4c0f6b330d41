/*
 * Staging: bounded memory for what the host wrote and may overwrite. Powers of two from 64 bytes to
 * COPROC_STAGE_CHUNK_MAX, from one reservation that the kernel fills when it is touched. Not for
 * memory that lives longer than a command.
 */
#include <string.h>
#include <sys/mman.h>

#include "coproc/engine_parts.h"

#define CLASS_MIN_SHIFT 6u
#define CLASSES         13u /* 64 bytes .. 256 KiB */
_Static_assert(1u << (CLASS_MIN_SHIFT + CLASSES - 1) == COPROC_STAGE_CHUNK_MAX, "the last class is the largest chunk");

struct stage {
    char *memory;
    size_t used; /* never handed out beyond */
    void *free[CLASSES];
};

static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while (((size_t)1 << (CLASS_MIN_SHIFT + class)) < size)
        class ++;
    return class;
}

static struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    if (!stage)
        return NULL;
    stage->memory =
        mmap(NULL, COPROC_STAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stage->memory == MAP_FAILED) {
        free(stage);
        return NULL;
    }
    return stage;
}

void *coproc_stage_take(struct coproc_engine *engine, size_t size)
{
    if (size == 0 || size > COPROC_STAGE_CHUNK_MAX)
        return NULL;
    unsigned class = class_of(size);
    void *result = NULL;
    pthread_mutex_lock(&engine->stage_lock);
    struct stage *stage = engine->stage;
    if (!stage)
        stage = engine->stage = stage_new();
    size_t bytes = (size_t)1 << (CLASS_MIN_SHIFT + class);
    if (stage && stage->free[class]) {
        result = stage->free[class];
        memcpy(&stage->free[class], result, sizeof(void *));
    } else if (stage && stage->used + bytes <= COPROC_STAGE_BYTES) {
        result = stage->memory + stage->used;
        stage->used += bytes;
    }
    pthread_mutex_unlock(&engine->stage_lock);
    return result;
}

void coproc_stage_give(struct coproc_engine *engine, void *memory, size_t size)
{
    unsigned class = class_of(size);
    pthread_mutex_lock(&engine->stage_lock);
    struct stage *stage = engine->stage;
    COPROC_ASSERT(stage && (char *)memory >= stage->memory && (char *)memory < stage->memory + COPROC_STAGE_BYTES);
    memcpy(memory, &stage->free[class], sizeof(void *));
    stage->free[class] = memory;
    pthread_mutex_unlock(&engine->stage_lock);
}

void stage_free(struct stage *stage)
{
    if (stage)
        munmap(stage->memory, COPROC_STAGE_BYTES);
    free(stage);
}
