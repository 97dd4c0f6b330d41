/*
 * Options from span.conf (`key = value` lines; `#` at the start or after a blank begins a comment)
 * and from SPAN_* variables. Not for what values mean: options.c has the table.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ld-span/options_table.h"

#define CONFIG_BYTES_MAX (64u * 1024u)
#define VARIABLE_BYTES   48

static const char *variable_get(char *envp[], const char *name)
{
    size_t length = strlen(name);
    for (char **entry = envp; *entry; entry++) {
        if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
            return *entry + length + 1;
    }
    return NULL;
}

static void variable_name(const struct option_row *row, char name[VARIABLE_BYTES])
{
    int length = snprintf(name, VARIABLE_BYTES, "SPAN_%s", row->name);
    for (int i = 0; i < length; i++)
        name[i] = name[i] == '-' ? '_' : (char)toupper((unsigned char)name[i]);
}

int option_variables_read(struct span_options *options, char *envp[], char why[WIRE_MESSAGE_BYTES])
{
    bool any = false;
    for (char **entry = envp; *entry && !any; entry++)
        any = !strncmp(*entry, "SPAN_", 5);
    if (!any)
        return 0;
    for (size_t i = 0; i < option_table_count; i++) {
        const struct option_row *row = &option_table[i];
        char name[VARIABLE_BYTES], where[VARIABLE_BYTES + 16];
        if (row->source == SOURCE_COMMAND)
            continue;
        variable_name(row, name);
        const char *value = variable_get(envp, name);
        if (!value || !value[0])
            continue;
        snprintf(where, sizeof where, "variable %s", name);
        int error = option_apply(options, row, where, value, why);
        if (error)
            return error;
    }
    return 0;
}

static char *text_trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        *--end = '\0';
    return text;
}

static void comment_cut(char *line)
{
    for (char *mark = strchr(line, '#'); mark; mark = strchr(mark + 1, '#')) {
        if (mark == line || isspace((unsigned char)mark[-1])) {
            *mark = '\0';
            return;
        }
    }
}

static int line_apply(struct span_options *options, const char *path, unsigned number, char *line, char *why)
{
    comment_cut(line);
    char *key = text_trim(line), where[80];
    if (!key[0])
        return 0;
    snprintf(where, sizeof where, "%.60s line %u", path, number);
    char *equals = strchr(key, '=');
    if (!equals) {
        snprintf(why, WIRE_MESSAGE_BYTES, "%s: not of the form key = value (correct or remove it)", where);
        return -EINVAL;
    }
    *equals = '\0';
    char *value = text_trim(equals + 1);
    key = text_trim(key);
    for (size_t i = 0; i < option_table_count; i++) {
        const struct option_row *row = &option_table[i];
        if (row->source != SOURCE_ANY || strcmp(row->name, key) != 0)
            continue;
        if (!value[0]) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%s: %s has no value (give one or remove the line)", where, key);
            return -EINVAL;
        }
        return option_apply(options, row, where, value, why);
    }
    snprintf(why, WIRE_MESSAGE_BYTES, "%s: key \"%.20s\" is not known (see ld-span.so(8))", where, key);
    return -EINVAL;
}

/* A file that is absent, or another user's, is fine unless it was `wanted` by name. */
static int file_read(struct span_options *options, const char *path, bool wanted, char *why)
{
    /* A pipe without a writer must not hang us; /dev/null stands for "no file". */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int error = errno;
        if (!wanted && (error == ENOENT || error == ENOTDIR || error == EACCES))
            return 0;
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: cannot be read: %s", path, strerror(error));
        return -error;
    }
    /* One byte more than allowed, to see that there is more. */
    char *text = malloc(CONFIG_BYTES_MAX + 2);
    ssize_t size = text ? read(fd, text, CONFIG_BYTES_MAX + 1) : -1;
    close(fd);
    if (size < 0 || size > (ssize_t)CONFIG_BYTES_MAX || memchr(text, 0, (size_t)size)) {
        free(text);
        snprintf(why, WIRE_MESSAGE_BYTES, "%.80s: not a text file of at most 64 KiB (correct or remove it)", path);
        return -EINVAL;
    }
    text[size] = '\0';
    int error = 0;
    unsigned number = 1;
    for (char *line = text, *next; line && !error; line = next, number++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        error = line_apply(options, path, number, line, why);
    }
    free(text);
    return error;
}

int option_files_read(struct span_options *options, char *envp[], char why[WIRE_MESSAGE_BYTES])
{
    const char *config = variable_get(envp, "SPAN_CONFIG");
    if (config && config[0])
        return file_read(options, config, true, why);
    int error = file_read(options, "/etc/span.conf", false, why);
    if (error)
        return error;
    char path[PATH_MAX];
    const char *directory = variable_get(envp, "XDG_CONFIG_HOME"), *home = variable_get(envp, "HOME");
    int length = 0;
    /* The XDG specification says to ignore a relative path. */
    if (directory && directory[0] == '/')
        length = snprintf(path, sizeof path, "%s/span.conf", directory);
    else if (home && home[0] == '/')
        length = snprintf(path, sizeof path, "%s/.config/span.conf", home);
    if (length <= 0 || length >= (int)sizeof path)
        return 0;
    return file_read(options, path, false, why);
}
