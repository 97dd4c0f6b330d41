/*
 * Computes and prints the closure of DT_NEEDED, breadth first. Not for where objects are
 * (search.c).
 */
#include "ld-span/closure.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ld-span/rtld.h"

#define NEEDED_MAX  4096u /* DT_NEEDED of one object */
#define OBJECT_NAME 4096u /* longest string looked at */

/* ---- one object
 * -------------------------------------------------------------------------------------------------
 */

struct dynamic {
    const char *strings;
    size_t string_bytes;
    GElf_Dyn *entries;
    size_t count;
};

static const char *dynamic_string(const struct dynamic *dynamic, uint64_t offset)
{
    if (offset >= dynamic->string_bytes)
        return NULL;
    size_t room = dynamic->string_bytes - offset;
    return memchr(dynamic->strings + offset, '\0', room < OBJECT_NAME ? room : OBJECT_NAME) ? dynamic->strings + offset
                                                                                            : NULL;
}

/* Finds dynamic entries and their strings; false when there are none, or damaged ones. */
static bool dynamic_find(Elf *elf, const struct image *image, struct dynamic *dynamic)
{
    const Elf64_Phdr *header = NULL;
    for (unsigned i = 0; i < image->header_count; i++) {
        if (image->headers[i].p_type == PT_DYNAMIC)
            header = &image->headers[i];
    }
    if (!header || header->p_offset > image->file_bytes || header->p_filesz > image->file_bytes - header->p_offset ||
        header->p_filesz == 0)
        return false;
    Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)header->p_offset, header->p_filesz, ELF_T_DYN);
    if (!data)
        return false;
    dynamic->entries = data->d_buf;
    dynamic->count = data->d_size / sizeof(GElf_Dyn);
    uint64_t address = 0, bytes = 0, offset;
    for (size_t i = 0; i < dynamic->count; i++) {
        if (dynamic->entries[i].d_tag == DT_NULL)
            dynamic->count = i;
        else if (dynamic->entries[i].d_tag == DT_STRTAB)
            address = dynamic->entries[i].d_un.d_ptr;
        else if (dynamic->entries[i].d_tag == DT_STRSZ)
            bytes = dynamic->entries[i].d_un.d_val;
    }
    if (bytes == 0 || !image_file_offset(image, address, bytes, &offset))
        return false;
    data = elf_getdata_rawchunk(elf, (int64_t)offset, bytes, ELF_T_BYTE);
    dynamic->strings = data ? data->d_buf : NULL;
    dynamic->string_bytes = data ? data->d_size : 0;
    return data != NULL;
}

static void text_set(char **field, const char *text)
{
    if (text && !*field)
        *field = strdup(text);
}

static void dynamic_read(const struct dynamic *dynamic, struct closure_object *object)
{
    object->needed = calloc(dynamic->count + 1, sizeof *object->needed);
    for (size_t i = 0; i < dynamic->count; i++) {
        uint64_t value = dynamic->entries[i].d_un.d_val;
        switch (dynamic->entries[i].d_tag) {
        case DT_NEEDED:
            if (object->needed && object->needed_count < NEEDED_MAX && dynamic_string(dynamic, value)) {
                object->needed[object->needed_count] = strdup(dynamic_string(dynamic, value));
                object->needed_count += object->needed[object->needed_count] != NULL;
            }
            break;
        case DT_SONAME:
            text_set(&object->soname, dynamic_string(dynamic, value));
            break;
        case DT_RPATH:
            text_set(&object->rpath, dynamic_string(dynamic, value));
            break;
        case DT_RUNPATH:
            text_set(&object->runpath, dynamic_string(dynamic, value));
            break;
        case DT_FLAGS_1:
            object->no_default = value & DF_1_NODEFLIB;
            break;
        }
    }
    if (object->runpath) {
        free(object->rpath);
        object->rpath = NULL;
    }
}

/* Reads what the closure needs of the file at object->path. 0 or a negative errno and `why`. */
static int object_read(struct closure_object *object, char *why)
{
    static struct image image;
    int fd = open(object->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int error = -errno;
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: cannot be read: %s", object->path, strerror(-error));
        return error;
    }
    int error = image_check(fd, object->path, &image, why);
    if (!error) {
        object->device = image.device;
        object->inode = image.inode;
        object->size = image.high - image.low;
        struct dynamic dynamic = {0};
        Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
        if (elf && dynamic_find(elf, &image, &dynamic))
            dynamic_read(&dynamic, object);
        elf_end(elf);
    }
    close(fd);
    return error;
}

/* ---- the closure
 * -------------------------------------------------------------------------------------------------
 */

static struct closure_object *object_add(struct closure *closure, const char *name, const char *path, int loader)
{
    if (closure->count == CLOSURE_OBJECTS_MAX)
        return NULL;
    struct closure_object *object = &closure->objects[closure->count];
    memset(object, 0, sizeof *object);
    object->name = strdup(name);
    object->path = path ? strdup(path) : NULL;
    object->loader = loader;
    if (!object->name || (path && !object->path))
        return NULL;
    closure->count++;
    return object;
}

static bool is_known(const struct closure *closure, const char *name)
{
    for (size_t i = 1; i < closure->count; i++) {
        const struct closure_object *object = &closure->objects[i];
        if (!strcmp(object->name, name) || (object->soname && !strcmp(object->soname, name)))
            return true;
    }
    return false;
}

static bool is_same_file(const struct closure *closure, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return false;
    for (size_t i = 0; i < closure->count; i++) {
        const struct closure_object *object = &closure->objects[i];
        if (object->path && !object->is_rtld && object->device == status.st_dev && object->inode == status.st_ino)
            return true;
    }
    return false;
}

/* musl's libc is its rtld, and answers to the names of glibc's smaller libraries. */
static bool is_musl_itself(const char *name)
{
    static const char *const names[] = {"libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strncmp(name, names[i], strlen(names[i])))
            return true;
    }
    return false;
}

static bool is_rtld(const struct closure_request *request, const char *name)
{
    const char *slash = strrchr(request->rtld, '/');
    if (!request->rtld[0])
        return false;
    return !strcmp(name, slash ? slash + 1 : request->rtld) || !strcmp(name, request->rtld) ||
           !strcmp(name, "ld-linux-x86-64.so.2") || (request->search->musl && is_musl_itself(name));
}

/* Adds what `name` stands for, unless it is there. 0 or -ENOMEM. */
static int name_add(const struct closure_request *request, struct closure *closure, const char *name, size_t loader,
                    bool quiet)
{
    char path[PATH_MAX], why[WIRE_MESSAGE_BYTES];
    if (is_known(closure, name))
        return 0;
    struct closure_object *object;
    if (is_rtld(request, name)) {
        for (size_t i = 1; i < closure->count; i++) {
            if (closure->objects[i].is_rtld)
                return 0;
        }
        object = object_add(closure, request->search->musl ? name : request->rtld, request->rtld, (int)loader);
        if (object) {
            object->is_rtld = true;
            object_read(object, why);
        }
        return object ? 0 : -ENOMEM;
    }
    bool found = search_object(request->search, closure, loader, name, path);
    if (!found && quiet) {
        fprintf(stderr, "ld-span: %s: cannot be preloaded: not found (ignored)\n", name);
        return 0;
    }
    if (found && is_same_file(closure, path))
        return 0;
    object = object_add(closure, name, found ? path : NULL, (int)loader);
    if (object && found)
        object_read(object, why);
    return object ? 0 : -ENOMEM;
}

static int preloads_add(const struct closure_request *request, struct closure *closure)
{
    char *copy = strdup(request->preload ? request->preload : ""), *save = NULL;
    int error = copy ? 0 : -ENOMEM;
    for (char *name = error ? NULL : strtok_r(copy, ": ", &save); name && !error; name = strtok_r(NULL, ": ", &save))
        error = name_add(request, closure, name, 0, true);
    free(copy);
    return error;
}

int closure_compute(const struct closure_request *request, struct closure *closure, char why[WIRE_MESSAGE_BYTES])
{
    *closure = (struct closure){.rtld = request->rtld};
    closure->objects = calloc(CLOSURE_OBJECTS_MAX, sizeof *closure->objects);
    if (elf_version(EV_CURRENT) == EV_NONE || !closure->objects ||
        !object_add(closure, request->program, request->program, -1)) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: no memory for its dependencies", request->program);
        closure_free(closure);
        return -ENOMEM;
    }
    int error = object_read(&closure->objects[0], why);
    if (!error && closure->objects[0].needed_count > 0) {
        error = preloads_add(request, closure);
        for (size_t i = 0; i < closure->count && !error; i++) {
            for (size_t k = 0; k < closure->objects[i].needed_count && !error; k++)
                error = name_add(request, closure, closure->objects[i].needed[k], i, false);
        }
        if (error)
            snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: too many dependencies (at most %d), or no memory",
                     request->program, CLOSURE_OBJECTS_MAX);
    }
    if (error)
        closure_free(closure);
    return error;
}

void closure_free(struct closure *closure)
{
    for (size_t i = 0; closure->objects && i < closure->count; i++) {
        struct closure_object *object = &closure->objects[i];
        for (size_t k = 0; k < object->needed_count; k++)
            free(object->needed[k]);
        free(object->needed);
        free(object->name);
        free(object->path);
        free(object->soname);
        free(object->rpath);
        free(object->runpath);
    }
    free(closure->objects);
    memset(closure, 0, sizeof *closure);
}

static uint64_t object_bytes(const struct closure_object *object)
{
    return (object->size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ul);
}

void closure_print(const struct closure *closure, uint64_t vdso, FILE *out)
{
    if (closure->objects[0].needed_count == 0) {
        fprintf(out, "\tstatically linked\n");
        return;
    }
    if (vdso)
        fprintf(out, "\tlinux-vdso.so.1 (0x%016" PRIx64 ")\n", vdso);
    /* Nothing is mapped; these are the places that the first mappings of a program get, from the
     * top down. */
    uint64_t next = SPAN_ZONE_END, rtld_address = 0;
    for (size_t i = 1; i < closure->count; i++) {
        if (closure->objects[i].is_rtld)
            rtld_address = next -= object_bytes(&closure->objects[i]);
    }
    if (rtld_is_musl(closure->rtld))
        fprintf(out, "\t%s (0x%016" PRIx64 ")\n", closure->rtld, rtld_address);
    for (size_t i = 1; i < closure->count; i++) {
        const struct closure_object *object = &closure->objects[i];
        uint64_t address = object->is_rtld ? rtld_address : (next -= object_bytes(object));
        if (!object->path)
            fprintf(out, "\t%s => not found\n", object->name);
        else if (!strcmp(object->name, object->path))
            fprintf(out, "\t%s (0x%016" PRIx64 ")\n", object->path, address);
        else
            fprintf(out, "\t%s => %s (0x%016" PRIx64 ")\n", object->name, object->path, address);
    }
}
