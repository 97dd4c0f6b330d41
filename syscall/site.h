/*
 * How often each call site came by dispatch: decides when patching it is worth a try.
 * Not for what is patched (syscall/patch.h).
 *
 * Lock-free, async-signal-safe, uses no vector registers and no TLS: any thread, any domain.
 */
#ifndef SYSCALL_SITE_H
#define SYSCALL_SITE_H

#include <stdbool.h>
#include <stdint.h>

#define SITE_THRESHOLD                                                                                                 \
    24 /* the decoder has to be made ready for the first one; a program that does little never needs it */

/* Counts a call from `site`: true exactly once, when it reaches SITE_THRESHOLD. */
bool site_hit(uint64_t site);
/* Never again: site_hit(site) stays false, also when it had not reached the threshold. */
void site_refuse(uint64_t site);
/* The try came to nothing for a reason that passes: counts from 0 again. */
void site_again(uint64_t site);

#endif
