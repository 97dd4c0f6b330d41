/*
 * Chooses the rtld from PT_INTERP, the note of span-patch, or DT_NEEDED.
 * Not for DT_NEEDED closures (closure.c): this reads no more than it must, for it runs before every
 * program.
 */
#include "ld-span/rtld.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DYNAMIC_MAX 1024u /* entries looked at */

static bool bytes_read(int fd, void *bytes, size_t size, uint64_t offset)
{
    return pread(fd, bytes, size, (off_t)offset) == (ssize_t)size;
}

static const Elf64_Phdr *header_find(const struct image *image, uint32_t type)
{
    for (unsigned i = 0; i < image->header_count; i++) {
        if (image->headers[i].p_type == type)
            return &image->headers[i];
    }
    return NULL;
}

static bool is_self(const char *interpreter, uint64_t device, uint64_t inode)
{
    const char *slash = strrchr(interpreter, '/');
    struct stat status;
    if (!strcmp(slash ? slash + 1 : interpreter, "ld-span.so"))
        return true;
    return stat(interpreter, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* The note of span-patch, see rtld.h. */
static bool note_read(int fd, const struct image *image, char path[PATH_MAX])
{
    struct {
        Elf64_Nhdr header;
        char name[8];
        uint64_t words[RTLD_NOTE_WORDS];
    } note;
    const Elf64_Phdr *interpreter = header_find(image, PT_INTERP);
    if (!interpreter)
        return false;
    uint64_t offset = (interpreter->p_offset + interpreter->p_filesz + 3) & ~3ul;
    if (!bytes_read(fd, &note, sizeof note - sizeof note.words, offset))
        return false;
    if (note.header.n_namesz != sizeof note.name || memcmp(note.name, "ld-span", sizeof note.name) != 0 ||
        note.header.n_type != RTLD_NOTE_TYPE || note.header.n_descsz <= sizeof note.words)
        return false;
    size_t size = note.header.n_descsz - sizeof note.words;
    if (size > PATH_MAX ||
        !bytes_read(fd, path, size, offset + sizeof note.header + sizeof note.name + sizeof note.words))
        return false;
    return path[size - 1] == '\0' && path[0] == '/';
}

struct names {
    bool glibc, musl;
};

static void name_judge(const char *name, struct names *names)
{
    if (!strcmp(name, "libc.so.6") || !strncmp(name, "ld-linux-x86-64.so.", 19))
        names->glibc = true;
    else if (!strcmp(name, "libc.so") || !strncmp(name, "libc.musl-", 10) || !strncmp(name, "ld-musl-", 8))
        names->musl = true;
}

/* What the program's DT_NEEDED says about its libc. Bounded, and silent about damage: nothing is
 * found then. */
static struct names needed_judge(int fd, const struct image *image)
{
    struct names names = {false, false};
    const Elf64_Phdr *dynamic = header_find(image, PT_DYNAMIC);
    uint64_t strings = 0, strings_size = 0;
    if (!dynamic)
        return names;
    /* Two passes, for DT_STRTAB may come after DT_NEEDED. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint64_t i = 0; i < DYNAMIC_MAX && i < dynamic->p_filesz / sizeof(Elf64_Dyn); i++) {
            Elf64_Dyn entry;
            char name[64];
            uint64_t offset;
            if (!bytes_read(fd, &entry, sizeof entry, dynamic->p_offset + i * sizeof entry) || entry.d_tag == DT_NULL)
                break;
            if (entry.d_tag == DT_STRTAB)
                strings = entry.d_un.d_ptr;
            else if (entry.d_tag == DT_STRSZ)
                strings_size = entry.d_un.d_val;
            if (pass == 0 || entry.d_tag != DT_NEEDED || entry.d_un.d_val >= strings_size ||
                !image_file_offset(image, strings + entry.d_un.d_val, 1, &offset))
                continue;
            ssize_t count = pread(fd, name, sizeof name - 1, (off_t)offset);
            name[count > 0 ? count : 0] = '\0';
            name_judge(name, &names);
        }
    }
    return names;
}

bool rtld_is_musl(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !strncmp(slash ? slash + 1 : path, "ld-musl", 7);
}

int rtld_choose(int fd, const char *program, const struct image *image, uint64_t self_device, uint64_t self_inode,
                char path[PATH_MAX], char why[WIRE_MESSAGE_BYTES])
{
    path[0] = '\0';
    if (!image->has_interpreter)
        return 0;
    if (!is_self(image->interpreter, self_device, self_inode)) {
        memcpy(path, image->interpreter, strlen(image->interpreter) + 1);
        return 0;
    }
    if (note_read(fd, image, path) && !is_self(path, self_device, self_inode))
        return 0;
    struct names names = needed_judge(fd, image);
    /* A program that needs no library at all is served by either: prefer one that is there. */
    const char *choice = names.glibc ? RTLD_GLIBC : names.musl ? RTLD_MUSL : NULL;
    if (!choice)
        choice = access(RTLD_GLIBC, R_OK) == 0 || access(RTLD_MUSL, R_OK) != 0 ? RTLD_GLIBC : RTLD_MUSL;
    strcpy(path, choice);
    if (access(path, R_OK) < 0) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.60s: its rtld %s cannot be read: %s (install the program's libc)", program,
                 path, strerror(errno));
        return -ELIBACC;
    }
    return 0;
}
