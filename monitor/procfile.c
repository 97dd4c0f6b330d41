/* Lines of a file by plain reads. */
#include "monitor/procfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#define LINE_BYTES  (PATH_MAX + 128)
#define BLOCK_BYTES 4096

int procfile_lines(const char *path, bool (*line)(char *text, void *context), void *context)
{
    char block[BLOCK_BYTES], text[LINE_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    ssize_t got;
    bool more = true;
    while (more && (got = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < got && more; i++) {
            if (block[i] != '\n') {
                if (used < sizeof text - 1)
                    text[used++] = block[i];
                continue;
            }
            text[used] = 0;
            used = 0;
            more = line(text, context);
        }
    }
    close(fd);
    return 0;
}
