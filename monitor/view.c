/*
 * The view of files: which paths are answered by us, and with what descriptor.
 * Not for the contents (monitor/view_files.c) nor for processor masks (monitor/view_affinity.c).
 */
#include "monitor/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/fatal.h"
#include "monitor/view_private.h"

#define SPECIAL_PATH_BYTES 128 /* no path of ours is longer */
#define OWN_FILE_BYTES_MAX (64u * 1024u * 1024u)

struct view view;

static char exe_path[PATH_MAX];
static pid_t program_pid;

void view_initialise(unsigned node_count, const unsigned cpus_per_node[])
{
    SPAN_ASSERT(node_count >= 1 && node_count <= NODES_MAX);
    view.node_count = node_count;
    view.total = 0;
    for (unsigned node = 0; node < node_count; node++) {
        view.first[node] = view.total;
        view.total += cpus_per_node[node];
    }
    SPAN_ASSERT(view.total >= 1);
    if (view.total > VIEW_PROCESSORS_MAX)
        view.total = VIEW_PROCESSORS_MAX;
    view.first[node_count] = view.total;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    view.own_count = online > 0 ? (unsigned)online : 1;
}

unsigned view_processor_count(void)
{
    return view.total;
}

unsigned view_processor_first(unsigned node)
{
    return node < view.node_count ? view.first[node] : 0;
}

unsigned view_node_of(unsigned processor)
{
    unsigned node = 0;
    while (node + 1 < view.node_count && processor >= view.first[node + 1])
        node++;
    return node;
}

bool view_differs(void)
{
    return view.node_count > 1 && view.total != view.own_count;
}

void view_pid_is(pid_t pid)
{
    program_pid = pid;
}

pid_t view_pid(void)
{
    return program_pid;
}

/* Asked by a process that shares the program's memory, too: what looks at the program's threads is often such a one. */
bool view_is_own(pid_t id)
{
    return id > 0 && (id == program_pid || id == getpid() || syscall(SYS_tgkill, program_pid, id, 0) == 0);
}

/* ---- the program's own path ---------------------------------------------------------------- */

void view_exe_path(const char *path)
{
    char absolute[PATH_MAX];
    const char *chosen = realpath(path, absolute) != NULL ? absolute : path;
    size_t length = strnlen(chosen, sizeof exe_path - 1);
    memcpy(exe_path, chosen, length);
    exe_path[length] = 0;
}

/* Removes empty and "." components; false when it does not fit or has "..", which only the kernel
 * can resolve. */
static bool path_normalise(const char *path, char out[SPECIAL_PATH_BYTES])
{
    size_t length = 0;
    if (path[0] != '/')
        return false;
    while (*path != 0) {
        path += strspn(path, "/");
        size_t part = strcspn(path, "/");
        if (part == 2 && path[0] == '.' && path[1] == '.')
            return false;
        if (part > 0 && !(part == 1 && path[0] == '.')) {
            if (length + part + 2 > SPECIAL_PATH_BYTES)
                return false;
            out[length++] = '/';
            memcpy(out + length, path, part);
            length += part;
        }
        path += part;
    }
    out[length] = 0;
    return true;
}

/* The rest of `path` behind a component that names this process or a thread of it; NULL when it
 * does not. */
static const char *own_skip(const char *path, bool names)
{
    if (names && strncmp(path, "self/", 5) == 0)
        return path + 5;
    if (names && strncmp(path, "thread-self/", 12) == 0)
        return path + 12;
    if (*path < '1' || *path > '9')
        return NULL;
    char *end;
    long id = strtol(path, &end, 10);
    return *end == '/' && id <= INT_MAX && view_is_own((pid_t)id) ? end + 1 : NULL;
}

const char *view_own_rest(const char *path)
{
    if (strncmp(path, "/proc/", 6) != 0)
        return NULL;
    const char *rest = own_skip(path + 6, true), *inner = NULL;
    if (rest != NULL && strncmp(rest, "task/", 5) == 0)
        inner = own_skip(rest + 5, false);
    return inner != NULL ? inner : rest;
}

static bool is_exe_link(const char *path)
{
    const char *rest = view_own_rest(path);
    return rest != NULL && strcmp(rest, "exe") == 0;
}

bool view_exe_of(const char *path, char *exe, size_t size)
{
    char plain[SPECIAL_PATH_BYTES] = "";
    size_t length = strlen(exe_path);
    if (length == 0 || length >= size || !path_normalise(path, plain) || !is_exe_link(plain))
        return false;
    memcpy(exe, exe_path, length + 1);
    return true;
}

long view_readlink(const char *path, char *buffer, size_t size)
{
    char exe[PATH_MAX];
    if (!view_exe_of(path, exe, sizeof exe))
        return -ENOSYS;
    if (size == 0)
        return -EINVAL;
    size_t length = strnlen(exe, size);
    memcpy(buffer, exe, length);
    return (long)length;
}

/* ---- files that are made ------------------------------------------------------------------- */

/* The whole of the machine's own file, NUL-terminated; NULL with errno. */
static char *own_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    size_t room = 64 * 1024, used = 0;
    char *text = malloc(room);
    while (text != NULL) {
        ssize_t got = read(fd, text + used, room - used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        used += (size_t)got;
        if (room - used < room / 4) {
            char *larger = room < OWN_FILE_BYTES_MAX ? realloc(text, room * 2) : NULL;
            if (larger == NULL)
                break;
            text = larger;
            room *= 2;
        }
    }
    close(fd);
    if (text == NULL)
        errno = ENOMEM;
    else
        text[used] = 0;
    return text;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, text, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? -errno : -EIO;
        text += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A descriptor for reading that has `text`: the lowest number that is free, as open(2) promises. */
static int descriptor_make(const char *name, const char *text, size_t size, int flags)
{
    char link[64];
    int memory = memfd_create(name, MFD_CLOEXEC);
    if (memory < 0)
        return -errno;
    int result = write_all(memory, text, size);
    snprintf(link, sizeof link, "/proc/thread-self/fd/%d", memory);
    int reading = result == 0 ? open(link, (flags & ~O_NOFOLLOW) | O_CLOEXEC) : -1;
    if (result == 0 && reading < 0)
        result = -errno;
    close(memory);
    if (result < 0)
        return result;
    int lowest = fcntl(reading, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    if (lowest >= 0 && lowest < reading) {
        close(reading);
        return lowest;
    }
    if (lowest >= 0)
        close(lowest);
    if (!(flags & O_CLOEXEC))
        fcntl(reading, F_SETFD, 0);
    return reading;
}

int view_open(const char *path, int flags)
{
    char plain[SPECIAL_PATH_BYTES] = "", exe[PATH_MAX];
    if (flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW))
        return -ENOSYS;
    if (view_exe_of(path, exe, sizeof exe)) {
        int fd = open(exe, flags & ~O_CREAT);
        return fd < 0 ? -errno : fd;
    }
    if ((flags & (O_ACCMODE | O_CREAT | O_TRUNC)) != O_RDONLY || !path_normalise(path, plain))
        return -ENOSYS;
    const char *rest = view_own_rest(plain);
    const struct view_file *file = rest != NULL     ? view_process_file(rest)
                                   : view_differs() ? view_file_find(plain)
                                                    : NULL;
    if (file == NULL)
        return -ENOSYS;
    char *own = own_read(plain), *text = NULL;
    if (own == NULL)
        return -errno;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out != NULL)
        file->write(out, own);
    free(own);
    int fd = -ENOMEM;
    if (out != NULL && fclose(out) == 0)
        fd = descriptor_make(file->name, text, size, flags);
    free(text);
    return fd;
}
