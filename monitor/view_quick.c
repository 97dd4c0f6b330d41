/*
 * Whether a path may need the session's view: asked at every open and stat, so it is a few
 * comparisons. Not for the answer: monitor/view.c. General registers only, no TLS, no libc.
 */
#include "monitor/view.h"

static bool starts(const char *path, const char *prefix)
{
    while (*prefix != 0) {
        if (*path++ != *prefix++)
            return false;
    }
    return true;
}

bool view_path_is_special(const char *path)
{
    if (path[0] != '/')
        return false;
    switch (path[1]) {
    case 'p':
        return starts(path, "/proc/");
    case 's':
        return starts(path, "/sys/devices/system/cpu/");
    case '/': /* spelt in an unusual way: let it be looked at */
        return true;
    case '.':
        return path[2] == '/';
    default:
        return false;
    }
}
