/*
 * What each litmus test does and which outcomes x86 forbids. Names as in the literature (Sewell et
 * al., x86-TSO, 2010; Alglave et al., Herding Cats, 2014). Not for when and where it is done:
 * litmus.c.
 *
 * A split store is several accesses, in no order among themselves, but each in order with the
 * instructions before and after. So a part of a store counts like all of it where the forbidden
 * cycle needs only one byte, and does not where it needs two threads to agree about the store as a
 * whole.
 */
#include <sched.h>

#include "litmus.h"

static inline uint64_t load(const uint64_t *location)
{
    uint64_t value;
    __asm__ volatile("mov (%1), %0" : "=r"(value) : "r"(location) : "memory");
    return value;
}

static inline void store(uint64_t *location, uint64_t value)
{
    __asm__ volatile("mov %0, (%1)" : : "r"(value), "r"(location) : "memory");
}

/* Long ones leave the processor to who moves the pages. */
static inline void pause_times(unsigned count)
{
    for (; count >= 1024; count -= 16)
        sched_yield();
    while (count-- != 0)
        __asm__ volatile("pause" : : : "memory");
}

static inline void fence_none(void)
{
}

static inline void fence_mfence(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

/* Locked instructions are fences whatever they work on: here on the thread's own stack. */
static inline void fence_xadd(void)
{
    uint64_t one = 1, own = 0;
    __asm__ volatile("lock xadd %0, %1" : "+r"(one), "+m"(own) : : "memory", "cc");
}

/* One that fails is a fence as well. */
static inline void fence_cmpxchg(void)
{
    uint64_t expected = 1, desired = 2, own = 0;
    __asm__ volatile("lock cmpxchg %2, %1" : "+a"(expected), "+m"(own) : "r"(desired) : "memory", "cc");
}

uint8_t seen_value(uint64_t value)
{
    return value == 0 ? SEEN_OLD : value == VALUE_FIRST ? SEEN_NEW : SEEN_TORN;
}

/* A role: `code` for each cell, with the locations x and y and the results r. */
#define ROLE(role, code)                                                                                               \
    static void role(struct run *run)                                                                                  \
    {                                                                                                                  \
        for (unsigned cell = run->first; cell < run->last; cell++) {                                                   \
            uint64_t *x = run->x[cell], *y = run->y[cell];                                                             \
            uint8_t *r = run->results[cell];                                                                           \
            (void)x, (void)y, (void)r;                                                                                 \
            code;                                                                                                      \
            pause_times(run->between);                                                                                 \
        }                                                                                                              \
    }

/* `first` before `second`, unless the test is to see that it would notice. */
#define IN_ORDER(first, second)                                                                                        \
    do {                                                                                                               \
        if (!run->reordered) {                                                                                         \
            first;                                                                                                     \
            pause_times(run->inside);                                                                                  \
            second;                                                                                                    \
        } else {                                                                                                       \
            second;                                                                                                    \
            pause_times(run->inside);                                                                                  \
            first;                                                                                                     \
        }                                                                                                              \
    } while (0)

/* ---- MP: message passing
 * ------------------------------------------------------------------------------------------- */

ROLE(mp_writer, IN_ORDER(store(x, VALUE_FIRST), store(y, VALUE_FIRST)))
ROLE(mp_reader, uint64_t a; uint64_t b; a = load(y); pause_times(run->inside); b = load(x); r[0] = seen_value(a);
     r[1] = seen_value(b))

static enum judgement mp_judge(const uint8_t *seen)
{
    uint8_t flag = seen[2], data = seen[3];
    if (flag != SEEN_OLD && data != SEEN_NEW)
        return FORBIDDEN;
    return flag == SEEN_NEW || data == SEEN_OLD ? ALLOWED : CONCURRENT;
}

/* ---- SB: store buffering
 * -------------------------------------------------------------------------------------------- */

#define SB_ROLES(name, fence)                                                                                          \
    ROLE(name##_0, uint64_t a; IN_ORDER(store(x, VALUE_FIRST); fence(), a = load(y)); r[0] = seen_value(a))            \
    ROLE(name##_1, uint64_t a; IN_ORDER(store(y, VALUE_FIRST); fence(), a = load(x)); r[0] = seen_value(a))
SB_ROLES(sb, fence_none)
SB_ROLES(sb_mfence, fence_mfence)
SB_ROLES(sb_xadd, fence_xadd)
SB_ROLES(sb_cmpxchg, fence_cmpxchg)

static inline void exchange(uint64_t *location, uint64_t value)
{
    __asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(location) : "memory");
}
ROLE(sb_xchg_0, uint64_t a; IN_ORDER(exchange(x, VALUE_FIRST), a = load(y)); r[0] = seen_value(a))
ROLE(sb_xchg_1, uint64_t a; IN_ORDER(exchange(y, VALUE_FIRST), a = load(x)); r[0] = seen_value(a))

static enum judgement sb_fenced_judge(const uint8_t *seen)
{
    if (seen[0] != SEEN_NEW && seen[2] != SEEN_NEW)
        return FORBIDDEN;
    return seen[0] == SEEN_NEW && seen[2] == SEEN_NEW ? CONCURRENT : ALLOWED;
}

static enum judgement sb_judge(const uint8_t *seen)
{
    return sb_fenced_judge(seen) == ALLOWED ? ALLOWED : CONCURRENT;
}

/* ---- LB: load buffering
 * --------------------------------------------------------------------------------------------- */

ROLE(lb_0, uint64_t a; IN_ORDER(a = load(x), store(y, VALUE_FIRST)); r[0] = seen_value(a))
ROLE(lb_1, uint64_t a; IN_ORDER(a = load(y), store(x, VALUE_FIRST)); r[0] = seen_value(a))

static enum judgement lb_judge(const uint8_t *seen)
{
    if (seen[0] != SEEN_OLD && seen[2] != SEEN_OLD)
        return FORBIDDEN;
    return seen[0] == SEEN_NEW || seen[2] == SEEN_NEW ? ALLOWED : CONCURRENT;
}

/* ---- CoRR: a location does not go back
 * -------------------------------------------------------------------------------- */

ROLE(corr_writer, store(x, VALUE_FIRST))
ROLE(corr_reader, uint64_t a; uint64_t b; IN_ORDER(a = load(x), b = load(x)); r[0] = seen_value(a);
     r[1] = (a & ~b) != 0 ? (uint8_t)SEEN_BACK : seen_value(b))

static enum judgement corr_judge(const uint8_t *seen)
{
    if (seen[3] == SEEN_BACK)
        return FORBIDDEN;
    return seen[2] == seen[3] && seen[2] != SEEN_TORN ? ALLOWED : CONCURRENT;
}

/* ---- 2+2W: two pairs of stores
 * ------------------------------------------------------------------------------------------ */

ROLE(ww_0, IN_ORDER(store(x, VALUE_FIRST), store(y, VALUE_SECOND)))
ROLE(ww_1, store(y, VALUE_FIRST); pause_times(run->inside); store(x, VALUE_SECOND))

/* Of the final x and y: "new" is the thread's own first store, which the other's second one has not
 * overwritten. */
static enum judgement ww_judge(const uint8_t *seen)
{
    if (seen[0] != SEEN_OLD && seen[1] != SEEN_OLD)
        return FORBIDDEN;
    return seen[0] == SEEN_NEW || seen[1] == SEEN_NEW ? ALLOWED : CONCURRENT;
}

/* ---- IRIW: independent reads of independent writes
 * ----------------------------------------------------------------------- */

ROLE(iriw_writer_x, store(x, VALUE_FIRST))
ROLE(iriw_writer_y, store(y, VALUE_FIRST))
ROLE(iriw_reader_xy, uint64_t a; uint64_t b; IN_ORDER(a = load(x), b = load(y)); r[0] = seen_value(a);
     r[1] = seen_value(b))
ROLE(iriw_reader_yx, uint64_t a; uint64_t b; IN_ORDER(a = load(y), b = load(x)); r[0] = seen_value(a);
     r[1] = seen_value(b))

static enum judgement iriw_judge(const uint8_t *seen)
{
    if (seen[4] == SEEN_NEW && seen[5] != SEEN_NEW && seen[6] == SEEN_NEW && seen[7] != SEEN_NEW)
        return FORBIDDEN;
    return seen[4] == seen[5] && seen[6] == seen[7] ? ALLOWED : CONCURRENT;
}

const struct test tests[] = {
    {"MP", 2, {mp_writer, mp_reader}, mp_judge, {2, 3}, 2, .final = false},
    {"SB", 2, {sb_0, sb_1}, sb_judge, {0, 2}, 2, .weak = true},
    {"SB+mfence", 2, {sb_mfence_0, sb_mfence_1}, sb_fenced_judge, {0, 2}, 2, .final = false},
    {"SB+xadd", 2, {sb_xadd_0, sb_xadd_1}, sb_fenced_judge, {0, 2}, 2, .final = false},
    {"SB+cmpxchg", 2, {sb_cmpxchg_0, sb_cmpxchg_1}, sb_fenced_judge, {0, 2}, 2, .final = false},
    {"SB+xchg", 2, {sb_xchg_0, sb_xchg_1}, sb_fenced_judge, {0, 2}, 2, .aligned = true},
    {"LB", 2, {lb_0, lb_1}, lb_judge, {0, 2}, 2, .final = false},
    {"CoRR", 2, {corr_writer, corr_reader}, corr_judge, {2, 3}, 2, .one = true},
    {"2+2W", 2, {ww_0, ww_1}, ww_judge, {0, 1}, 2, .final = true},
    {"IRIW",
     4,
     {iriw_writer_x, iriw_writer_y, iriw_reader_xy, iriw_reader_yx},
     iriw_judge,
     {4, 5, 6, 7},
     4,
     .final = false},
};
const size_t test_count = sizeof tests / sizeof tests[0];
