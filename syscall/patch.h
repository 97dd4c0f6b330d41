/*
 * Rewriting call sites: `syscall` becomes a jump into a stub that enters the monitor without a
 * signal. Not for deciding when (syscall/dispatch.c does): this decides whether a site is safe and
 * does it.
 *
 * What is guaranteed while other threads run the same code, and why: syscall/patch.c.
 */
#ifndef SYSCALL_PATCH_H
#define SYSCALL_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where memory comes from, so that this file knows nothing of maps; all run in the monitor domain.
 */
struct patch_operations {
    /* Executable mapping around `address`: its range, and the object's first mapping (ELF header),
     * 0 when not a file. */
    bool (*mapping)(uint64_t address, uint64_t *start, uint64_t *end, uint64_t *object_start, uint64_t *object_end);
    /* Copies from the program's memory without faulting: bytes copied. Async-signal-safe. */
    size_t (*read)(uint64_t address, void *bytes, size_t size);
    /* Writes the program's text whatever its protection (private copy). 0 or negative errno. */
    int (*write)(uint64_t address, const void *bytes, size_t size);
    /*
     * A page of PROT_READ|PROT_EXEC memory for stubs within 2 GiB of all of [start, end); 0 when
     * there is none. Pages that follow each other in memory are best: a site needs a page with a
     * certain address modulo 64 KiB.
     */
    uint64_t (*stub_page)(uint64_t start, uint64_t end);
    /* True when another thread may be running the program's code now. */
    bool (*concurrent)(void);
};

/* `entry_offset`: the stub jumps to *%gs:entry_offset with the return address in RCX. Once, before
 * any other call. */
void patch_initialise(const struct patch_operations *operations, uint32_t entry_offset);

enum patch_result {
    PATCH_DONE,
    PATCH_DOUBTFUL, /* leave it to dispatch, for good */
    PATCH_NO_ROOM,  /* no stub memory in reach */
    PATCH_AGAIN,    /* another thread holds the patch lock: the site stays as it is this time */
};
/* `site` is the address of the two-byte syscall instruction. Takes the patch lock, never waits for
 * it. */
enum patch_result patch_site(uint64_t site);

/* Bytes from the start of a stub to its return address (what RCX holds): the call can be made again
 * from there. */
#define PATCH_STUB_PREAMBLE 15
/* An address inside a stub, translated to the program's own text: 0 when `address` is in no stub.
 * Async-signal-safe. */
uint64_t patch_translate(uint64_t address);
/*
 * The other way: where to go on instead of `address` in the program's text. Differs from `address`
 * only when that lies inside the bytes of a patched window. For every address the monitor resumes
 * the program at that was taken before the site was patched: return addresses of dispatched calls,
 * contexts restored by rt_sigreturn. Async-signal-safe.
 */
uint64_t patch_translate_return(uint64_t address);
/*
 * SIGTRAP with the breakpoint instruction at `address` (RIP - 1): true when it is part of a patched
 * window; the thread goes on at `*resume`. Async-signal-safe. On a node without records of the site
 * (a peer) the trap is home's to judge.
 */
bool patch_trap(uint64_t address, uint64_t *resume);
/* Around fork, taken before the space lock: the child must not inherit the patch lock or a half
 * written jump. */
void patch_fork_prepare(void);
void patch_fork_done(void); /* in the parent and in the child */
void patch_counters(uint64_t *sites_patched, uint64_t *sites_doubtful);

#endif
