/*
 * Reads past the page cache (O_DIRECT). The device writes into pages that the kernel holds meanwhile, and a page that
 * another node asks for in that time would be given away with half of it: the data goes through memory of ours instead.
 */
#ifndef MONITOR_DIRECT_READ_H
#define MONITOR_DIRECT_READ_H

#include <stdbool.h>
#include <stdint.h>

/* True for read, pread64, readv, preadv and preadv2. */
bool direct_read_is(uint64_t number);
/* Carries the call out; as the kernel where the descriptor is not such a one. At home. */
long direct_read(uint64_t number, const uint64_t a[6]);

#endif
