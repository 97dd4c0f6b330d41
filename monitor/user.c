/* The program's memory, strings of it. */
#include "monitor/user.h"

#include <errno.h>
#include <string.h>

#include "runtime/wire.h"
#include "syscall/entry.h"

long user_string(char *to, uint64_t from, size_t size)
{
    size_t have = 0;
    while (have < size) {
        /* Never past the end of a page that may be the last one mapped. */
        size_t chunk = PAGE_BYTES - ((from + have) & (PAGE_BYTES - 1));
        if (chunk > size - have)
            chunk = size - have;
        size_t missing = user_copy(to + have, (const void *)(from + have), chunk);
        char *end = memchr(to + have, 0, chunk - missing);
        if (end)
            return end - to;
        if (missing)
            return -EFAULT;
        have += chunk;
    }
    return -ENAMETOOLONG;
}
