/*
 * Deciding which five bytes at a call site become a jump, and which instructions move for it.
 * Not for writing them (syscall/patch.c) or their copies (syscall/patch_stub.c).
 *
 * The function is decoded forward from its start to its end, once, and all its direct branches
 * noted. A window is the range of five bytes that the jump covers; what is displaced are the
 * instructions from there to the syscall and as far behind it as the window reaches.
 *
 * In order of preference, a window is *free*:
 *     It lies in one instruction in front of the syscall, five bytes or longer, as in
 *     `mov $1, %eax; syscall`. No instruction starts inside, so a thread is never inside. The
 *     syscall stays in place: a branch to it that nobody can see makes the call by dispatch.
 * *punned*:
 *     It starts at the syscall and takes the instruction behind it along, three bytes or longer,
 *     as in `syscall; cmp $-4095, %rax`. One instruction starts inside, at byte 2. The stub is
 *     placed so that byte 2 of the jump is a breakpoint: whoever gets there traps and is sent on
 *     in the stub (patch_trap). That includes threads that had just returned from the kernel, and
 *     branches that nobody can see.
 * *quiet*:
 *     Any other. Correct when nobody is inside now and nobody jumps inside later: no other thread
 *     runs, every return address goes through patch_translate_return, the function has no indirect
 *     jump, and no bytes anywhere in the object's text are a branch to there, as the parts that
 *     compilers split off (".cold") may have.
 */
#include <capstone/capstone.h>
#include <string.h>

#include "syscall/patch_private.h"

#define NEAR_BYTES     (WINDOW_BEFORE_BYTES + 6 * INSTRUCTION_BYTES)
#define FOLLOW_MAX     5
#define QUIET_TEXT_MAX (16u * 1024u * 1024u)

/* Instructions around the site, the syscall at index `site`. */
struct neighbourhood {
    uint64_t site_address;
    uint64_t address[WINDOW_BEFORE_MAX + 1 + FOLLOW_MAX];
    uint8_t length[WINDOW_BEFORE_MAX + 1 + FOLLOW_MAX];
    unsigned site, count;
    /* Index 0 is site_address - WINDOW_BEFORE_BYTES. */
    bool targeted[NEAR_BYTES]; /* by a direct branch */
    bool taken[NEAR_BYTES];    /* by the jump of another site */
    bool complete;             /* the function was decoded to its end */
    bool indirect_jump;
};

struct branch {
    uint8_t kind; /* enum displaced_kind of jumps; DISPLACED_SYSCALL here means: must not be
                     displaced */
    uint8_t condition;
    bool has_target, indirect, ends;
};

static csh decoder;
static cs_insn *decoded;
static uint8_t code[FUNCTION_BYTES_MAX + NEAR_BYTES];

static bool decoder_open(void)
{
    if (decoded)
        return true;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &decoder) != CS_ERR_OK)
        return false;
    /* The detail has to be on when the instruction is allocated, or there is none. */
    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON);
    decoded = cs_malloc(decoder);
    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_OFF);
    return decoded != NULL;
}

/* Offset of the opcode behind legacy prefixes and REX. */
static unsigned opcode_offset(const uint8_t *bytes, unsigned length)
{
    unsigned at = 0;
    while (at < length && (memchr("\x66\x67\xf2\xf3\x2e\x36\x3e\x26\x64\x65\xf0", bytes[at], 11) != NULL))
        at++;
    if (at < length && (bytes[at] & 0xf0) == 0x40)
        at++;
    return at;
}

/* What the instruction does to the flow of control; from its bytes, for that is all a branch
 * consists of. */
static struct branch branch_read(const uint8_t *bytes, unsigned length)
{
    unsigned at = opcode_offset(bytes, length);
    uint8_t opcode = at < length ? bytes[at] : 0xcc;
    uint8_t second = at + 1 < length ? bytes[at + 1] : 0;
    struct branch branch = {.kind = DISPLACED_COPY};
    if ((opcode & 0xf0) == 0x70 || (opcode == 0x0f && (second & 0xf0) == 0x80)) {
        branch = (struct branch){.kind = DISPLACED_CONDITIONAL, .has_target = true};
        branch.condition = (opcode == 0x0f ? second : opcode) & 0x0f;
    } else if (opcode == 0xeb || opcode == 0xe9) {
        branch = (struct branch){.kind = DISPLACED_JUMP, .has_target = true, .ends = true};
    } else if (opcode == 0xe8 || (opcode >= 0xe0 && opcode <= 0xe3) || (opcode == 0xc7 && second == 0xf8)) {
        branch = (struct branch){.kind = DISPLACED_SYSCALL, .has_target = true}; /* call, loop, xbegin */
    } else if (opcode == 0xff && ((second >> 3) & 7) >= 2 && ((second >> 3) & 7) <= 5) {
        bool jump = ((second >> 3) & 7) >= 4;
        branch.kind = jump ? DISPLACED_COPY : DISPLACED_SYSCALL;
        branch.indirect = branch.ends = jump;
    } else if (opcode == 0xc3 || opcode == 0xc2) {
        branch.ends = true;
    } else if (opcode == 0xcc || opcode == 0xcd || opcode == 0xf1 || opcode == 0xca || opcode == 0xcb ||
               opcode == 0xcf ||
               (opcode == 0x0f && (second == 0x05 || second == 0x34 || second == 0x07 || second == 0x35))) {
        branch.kind = DISPLACED_SYSCALL;
    }
    return branch;
}

static uint64_t branch_target(uint64_t address, const uint8_t *bytes, unsigned length)
{
    unsigned at = opcode_offset(bytes, length);
    uint8_t opcode = bytes[at];
    uint64_t next = address + length;
    if ((opcode & 0xf0) == 0x70 || opcode == 0xeb || (opcode >= 0xe0 && opcode <= 0xe3))
        return next + (uint64_t)(int64_t)(int8_t)bytes[length - 1];
    int32_t displacement;
    memcpy(&displacement, bytes + length - 4, sizeof displacement);
    return next + (uint64_t)(int64_t)displacement;
}

static bool is_padding(const uint8_t *bytes, unsigned length)
{
    unsigned at = opcode_offset(bytes, length);
    return at < length &&
           (bytes[at] == 0x90 || bytes[at] == 0xcc || (bytes[at] == 0x0f && at + 1 < length && bytes[at + 1] == 0x1f));
}

/* ---- decoding the function ---- */

static void neighbour_note(struct neighbourhood *near, uint64_t address, unsigned length)
{
    if (address < near->site_address && near->count == WINDOW_BEFORE_MAX) {
        memmove(near->address, near->address + 1, (near->count - 1) * sizeof near->address[0]);
        memmove(near->length, near->length + 1, near->count - 1);
        near->count--;
    }
    if (address == near->site_address)
        near->site = near->count;
    if (address > near->site_address && near->count > near->site + FOLLOW_MAX)
        return;
    near->address[near->count] = address;
    near->length[near->count++] = (uint8_t)length;
}

static void near_mark(const struct neighbourhood *near, bool marks[NEAR_BYTES], uint64_t address)
{
    uint64_t at = address - (near->site_address - WINDOW_BEFORE_BYTES);
    if (at < NEAR_BYTES)
        marks[at] = true;
}

static bool near_marked(const struct neighbourhood *near, const bool marks[NEAR_BYTES], uint64_t from, uint64_t to)
{
    const uint64_t base = near->site_address - WINDOW_BEFORE_BYTES;
    for (uint64_t at = from; at < to; at++) {
        if (at - base < NEAR_BYTES && marks[at - base])
            return true;
    }
    return false;
}

/* False when the site is not reached or is not an instruction of its own. */
static bool function_decode(const struct patch_function *function, size_t size, size_t available,
                            struct neighbourhood *near)
{
    const uint8_t *at = code;
    size_t left = available;
    uint64_t address = function->start;
    bool met = false;
    while (address < function->start + size || near->count <= near->site + FOLLOW_MAX) {
        bool beyond = address >= function->start + size;
        const uint8_t *bytes = at;
        uint64_t start = address;
        if (!cs_disasm_iter(decoder, &at, &left, &address, decoded)) {
            near->complete = beyond;
            break;
        }
        unsigned length = (unsigned)(address - start);
        neighbour_note(near, start, length);
        if (start == near->site_address) {
            met = true;
            if (length != SYSCALL_BYTES || bytes[0] != 0x0f || bytes[1] != 0x05)
                return false;
        }
        if (address > near->site_address && !met)
            return false;
        if (beyond)
            continue;
        struct branch branch = branch_read(bytes, length);
        near->indirect_jump |= branch.indirect;
        if (branch.has_target)
            near_mark(near, near->targeted, branch_target(start, bytes, length));
    }
    return met;
}

/* ---- moving one instruction ---- */

static const uint8_t *code_at(const struct patch_function *function, uint64_t address)
{
    return code + (address - function->start);
}

/* Where a RIP-relative operand points; the offset of its displacement, 0: has none, -1: must not be
 * moved. */
static int operand_find(const cs_insn *instruction, uint64_t *target)
{
    const cs_x86 *x86 = &instruction->detail->x86;
    int offset = 0;
    for (unsigned i = 0; i < x86->op_count; i++) {
        const cs_x86_op *operand = &x86->operands[i];
        if (operand->type != X86_OP_MEM)
            continue;
        if (operand->mem.base == X86_REG_EIP)
            return -1;
        if (operand->mem.base != X86_REG_RIP)
            continue;
        offset = x86->encoding.disp_offset;
        int32_t displacement;
        if (offset == 0 || offset + 4 > instruction->size)
            return -1;
        memcpy(&displacement, instruction->bytes + offset, sizeof displacement);
        if (displacement != operand->mem.disp)
            return -1;
        *target = instruction->address + instruction->size + (uint64_t)(int64_t)displacement;
    }
    /* The encoding must agree with the operands: a decoder that lists none would make us copy a
     * wrong address. */
    bool encoded = x86->encoding.modrm_offset != 0 && (x86->modrm & 0xc7) == 0x05;
    return encoded == (offset != 0) ? offset : -1;
}

static bool displaced_read(const struct patch_function *function, uint64_t address, unsigned length,
                           struct displaced *out)
{
    const uint8_t *at = code_at(function, address);
    size_t left = length;
    uint64_t next = address;
    *out = (struct displaced){.address = address, .length = (uint8_t)length};
    memcpy(out->bytes, at, length);
    struct branch branch = branch_read(at, length);
    if (branch.kind == DISPLACED_SYSCALL)
        return false;
    out->kind = branch.kind;
    out->ends = branch.ends;
    if (branch.has_target) {
        /* A prefix may change the width of the displacement on some processors, and of nothing
         * else. */
        bool plain = opcode_offset(at, length) == 0;
        out->operand = branch.condition;
        out->target = branch_target(address, at, length);
        return plain;
    }
    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_ON);
    bool ok = cs_disasm_iter(decoder, &at, &left, &next, decoded) && decoded->size == length;
    if (ok) {
        int operand = operand_find(decoded, &out->target);
        ok = operand >= 0;
        out->operand = (uint8_t)operand;
        out->kind = operand > 0 ? DISPLACED_RIP : DISPLACED_COPY;
    }
    cs_option(decoder, CS_OPT_DETAIL, CS_OPT_OFF);
    return ok;
}

/* ---- choosing ---- */

static bool quiet_allowed(const struct neighbourhood *near, const struct patch_window *window)
{
    return near->complete && !near->indirect_jump &&
           !near_marked(near, near->targeted, window->start + 1, window->start + JUMP_BYTES);
}

/* Fills the window that starts at instruction `first`; WINDOW_NONE when something in it must stay
 * where it is. */
static enum window_class window_try(const struct neighbourhood *near, const struct patch_function *function,
                                    unsigned first, uint64_t map_end, struct patch_window *out)
{
    unsigned inner = 0;
    bool reached = true;
    out->start = near->address[first];
    out->count = 0;
    const uint64_t end = out->start + JUMP_BYTES;
    if (end > map_end || near_marked(near, near->targeted, out->start + 1, end) ||
        near_marked(near, near->taken, out->start, end))
        return WINDOW_NONE;
    for (unsigned i = first; i < near->count; i++) {
        uint64_t address = near->address[i];
        unsigned length = near->length[i];
        if (i > near->site && address >= end)
            break;
        struct displaced *displaced = &out->displaced[out->count];
        if (!reached) {
            /* Nobody runs this; it may be overwritten when it is padding, and not the start of the
             * next function. */
            if (end > function->next || !is_padding(code_at(function, address), length))
                return WINDOW_NONE;
            continue;
        }
        if (address >= function->end)
            return WINDOW_NONE; /* the function runs on into what we know nothing of */
        if (i == near->site)
            *displaced = (struct displaced){.address = address, .length = SYSCALL_BYTES};
        else if (!displaced_read(function, address, length, displaced))
            return WINDOW_NONE;
        if (address > out->start && address < end)
            inner |= 1u << (address - out->start);
        out->count++;
        out->resume = address + length;
        if (displaced->ends) {
            if (i < near->site)
                return WINDOW_NONE; /* the syscall is reached from elsewhere */
            reached = false;
        }
    }
    if (near->address[near->count - 1] + near->length[near->count - 1] < end)
        return WINDOW_NONE;
    if (inner == 0)
        return out->class = WINDOW_FREE;
    if (inner == 1u << 2)
        return out->class = WINDOW_PUNNED;
    return out->class = WINDOW_QUIET;
}

/* `mov $15, %rax; syscall`: unwinders and debuggers know a signal frame's return by these bytes. */
static bool is_signal_return(const struct neighbourhood *near, const struct patch_function *function)
{
    if (near->site == 0)
        return false;
    const uint8_t *bytes = code_at(function, near->address[near->site - 1]);
    unsigned length = near->length[near->site - 1];
    return (length == 5 && memcmp(bytes, "\xb8\x0f\0\0\0", 5) == 0) ||
           (length == 7 && memcmp(bytes, "\x48\xc7\xc0\x0f\0\0\0", 7) == 0);
}

static enum window_class candidates_compare(const struct neighbourhood *near, const struct patch_function *function,
                                            uint64_t map_end, bool quiet, struct patch_window *out)
{
    /* A branch between window and syscall goes past the window: right, but by dispatch. So such
     * windows come later. */
    static struct patch_window bypassed, last;
    bypassed.class = last.class = WINDOW_NONE;
    for (unsigned first = near->site + 1; first-- > 0;) {
        enum window_class class = window_try(near, function, first, map_end, out);
        if (class == WINDOW_NONE)
            continue;
        bool passed = near_marked(near, near->targeted, out->start + 1, near->site_address + 1);
        if (class == WINDOW_FREE && !passed)
            return class;
        if (class == WINDOW_PUNNED && !passed) {
            /* Kept unless a free one turns up further ahead. */
            if (last.class == WINDOW_NONE || last.class == WINDOW_QUIET)
                last = *out;
        } else if (class == WINDOW_QUIET) {
            if (last.class == WINDOW_NONE && quiet && quiet_allowed(near, out))
                last = *out;
        } else if (bypassed.class == WINDOW_NONE) {
            bypassed = *out;
        }
    }
    if (last.class == WINDOW_PUNNED || bypassed.class == WINDOW_NONE)
        *out = last;
    else
        *out = bypassed;
    return out->class;
}

/* Whether the four bytes at `at` can be the displacement of a jump or call into the window. */
static bool leads_inside(const uint8_t *at, uint64_t address, const struct patch_window *window)
{
    int32_t distance;
    memcpy(&distance, at, sizeof distance);
    uint64_t target = address + 4 + (uint64_t)(int64_t)distance;
    if (target - (window->start + 1) >= JUMP_BYTES - 1)
        return false;
    return at[-1] == 0xe9 || at[-1] == 0xe8 || ((at[-1] & 0xf0) == 0x80 && at[-2] == 0x0f);
}

static bool leads_inside_short(const uint8_t *at, uint64_t address, const struct patch_window *window)
{
    uint64_t target = address + 1 + (uint64_t)(int64_t)(int8_t)*at;
    if (target - (window->start + 1) >= JUMP_BYTES - 1)
        return false;
    return at[-1] == 0xeb || (at[-1] & 0xf0) == 0x70 || (at[-1] >= 0xe0 && at[-1] <= 0xe3);
}

/*
 * Searches the text outside the function, byte by byte, for anything that could be a branch into
 * the window. A millisecond for libc; few sites need it. Overwrites the code buffer.
 */
static bool reached_from_outside(const struct patch_operations *operations, const struct patch_function *function,
                                 uint64_t map_start, uint64_t map_end, const struct patch_window *window)
{
    const size_t overlap = 8;
    if (map_end - map_start > QUIET_TEXT_MAX)
        return true;
    for (uint64_t start = map_start; start + overlap < map_end; start += sizeof code - overlap) {
        size_t wanted = map_end - start < sizeof code ? map_end - start : sizeof code;
        if (operations->read(start, code, wanted) != wanted)
            return true;
        for (size_t i = 2; i + 4 <= wanted; i++) {
            uint64_t address = start + i;
            if (address >= function->start && address < function->end)
                continue;
            if (leads_inside(code + i, address, window) || leads_inside_short(code + i, address, window))
                return true;
        }
    }
    return false;
}

enum window_class window_choose(const struct patch_operations *operations, uint64_t site,
                                const struct patch_function *function, uint64_t map_start, uint64_t map_end, bool quiet,
                                struct patch_window *out)
{
    static struct neighbourhood near;
    size_t size = function->end - function->start;
    size_t wanted = size + NEAR_BYTES;
    if (wanted > map_end - function->start)
        wanted = map_end - function->start;
    if (!decoder_open() || function->signal_frame)
        return WINDOW_NONE;
    size_t available = operations->read(function->start, code, wanted);
    if (available < size)
        return WINDOW_NONE;
    memset(&near, 0, sizeof near);
    near.site_address = site;
    near.site = WINDOW_BEFORE_MAX;
    near.complete = true;
    record_overlay(operations, function->start, code, available);
    if (!function_decode(function, size, available, &near) || is_signal_return(&near, function))
        return WINDOW_NONE;
    for (uint64_t at = site - WINDOW_BEFORE_BYTES; at < site + 2 * INSTRUCTION_BYTES; at++) {
        for (uint64_t j = 0; j < JUMP_BYTES && record_at(at); j++)
            near_mark(&near, near.taken, at + j);
    }
    enum window_class class = candidates_compare(&near, function, map_end, quiet, out);
    if (class == WINDOW_QUIET && reached_from_outside(operations, function, map_start, map_end, out))
        return WINDOW_NONE;
    return class;
}
