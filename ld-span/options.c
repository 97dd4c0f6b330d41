/*
 * Options: one table for the command line, SPAN_* variables and span.conf.
 * Not for the files themselves (options_file.c) and not for acting on options.
 */
#include "ld-span/options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ld-span/options_table.h"

#define FIELD(name) offsetof(struct span_options, name)

const struct option_row option_table[] = {
    /* ours; their index is their bit in `given` */
    {"local", OPTION_NUMBER, SOURCE_ANY, FIELD(local), 0},
    {"nodes", OPTION_NODES, SOURCE_ANY, FIELD(nodes), 0},
    {"no-pin", OPTION_FLAG, SOURCE_ANY, FIELD(no_pin), 0},
    {"place", OPTION_PLACE, SOURCE_ANY, FIELD(place), 0},
    {"no-patch", OPTION_FLAG, SOURCE_ANY, FIELD(no_patch), 0},
    {"no-balance", OPTION_FLAG, SOURCE_ANY, FIELD(no_balance), 0},
    {"no-ahead", OPTION_FLAG, SOURCE_ANY, FIELD(no_ahead), 0},
    {"no-follow", OPTION_FLAG, SOURCE_ANY, FIELD(no_follow), 0},
    {"stats", OPTION_STATS, SOURCE_ANY, FIELD(stats), 0},
    {"verbose", OPTION_FLAG, SOURCE_ANY, FIELD(verbose), 0},
    {"best-effort", OPTION_FLAG, SOURCE_ANY, FIELD(best_effort), 0},
    {"key", OPTION_PATH, SOURCE_ANY, FIELD(key), 0},
    {"insecure", OPTION_FLAG, SOURCE_ANY, FIELD(insecure), 0},
    {"timeout", OPTION_SECONDS, SOURCE_ANY, FIELD(timeout_ms), 0},
    {"coproc", OPTION_COPROC, SOURCE_ANY, FIELD(coproc), 0},
    {"trace", OPTION_PATH, SOURCE_ANY, FIELD(trace), 0},
    {"compress", OPTION_COMPRESS, SOURCE_ANY, FIELD(compress), 0},
    /* ld.so's */
    {"library-path", OPTION_TEXT, SOURCE_VARIABLE, FIELD(library_path), 0},
    {"preload", OPTION_TEXT, SOURCE_VARIABLE, FIELD(preload), 0},
    {"audit", OPTION_TEXT, SOURCE_VARIABLE, FIELD(audit), 0},
    {"inhibit-cache", OPTION_FLAG, SOURCE_VARIABLE, FIELD(inhibit_cache), 0},
    {"inhibit-rpath", OPTION_TEXT, SOURCE_VARIABLE, FIELD(inhibit_rpath), 0},
    {"glibc-hwcaps-prepend", OPTION_TEXT, SOURCE_VARIABLE, FIELD(hwcaps_prepend), 0},
    {"glibc-hwcaps-mask", OPTION_TEXT, SOURCE_VARIABLE, FIELD(hwcaps_mask), 0},
    {"argv0", OPTION_TEXT, SOURCE_COMMAND, FIELD(argv0), 0},
    {"affinity", OPTION_TEXT, SOURCE_COMMAND, FIELD(affinity), 0},
    {"peers", OPTION_TEXT, SOURCE_COMMAND, FIELD(peers), 0},
    {"filtered", OPTION_FLAG, SOURCE_COMMAND, FIELD(filtered), 0},
    {"executed", OPTION_TEXT, SOURCE_COMMAND, FIELD(executed), 0},
    {"list", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_LIST},
    {"verify", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_VERIFY},
    {"list-diagnostics", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_LIST_DIAGNOSTICS},
    {"list-tunables", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_LIST_TUNABLES},
    {"help", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_HELP},
    {"version", OPTION_MODE, SOURCE_COMMAND, 0, SPAN_SHOW_VERSION},
};
const size_t option_table_count = sizeof option_table / sizeof option_table[0];
#define OURS 17 /* rows above "ld.so's" */

static const char *const place_names[] = {"spread", "pack", "home"};
#define PLACE_COUNT (sizeof place_names / sizeof place_names[0])
static const char *const compress_names[] = {"auto", "always", "never"}; /* enum wire_compress */
#define COMPRESS_COUNT (sizeof compress_names / sizeof compress_names[0])

static int value_bad(char *why, const char *where, const char *value, const char *wanted)
{
    snprintf(why, WIRE_MESSAGE_BYTES, "%s: bad value \"%.40s\" (give %s)", where, value, wanted);
    return -EINVAL;
}

static bool flag_parse(const char *value, bool *flag)
{
    static const char *const yes[] = {"1", "yes", "true", "on"}, *const no[] = {"0", "no", "false", "off"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!strcmp(value, yes[i]) || !strcmp(value, no[i])) {
            *flag = !strcmp(value, yes[i]);
            return true;
        }
    }
    return false;
}

/* A child may run in another directory: file names are made absolute when they are read. */
static const char *path_absolute(const char *path)
{
    char directory[PATH_MAX], *absolute;
    if (path[0] == '/')
        return strdup(path);
    if (!getcwd(directory, sizeof directory) || asprintf(&absolute, "%s/%s", directory, path) < 0)
        return NULL;
    return absolute;
}

/* "host", "host:port", "[v6]", "[v6]:port"; a bare IPv6 address has more than one colon and no
 * port. */
static bool address_valid(const char *address)
{
    const char *port = NULL;
    if (address[0] == '[') {
        const char *close = strchr(address, ']');
        if (!close || close == address + 1 || (close[1] != '\0' && close[1] != ':'))
            return false;
        port = close[1] == ':' ? close + 2 : NULL;
    } else {
        const char *first = strchr(address, ':'), *last = strrchr(address, ':');
        if (address[0] == '\0' || first == address || strpbrk(address, " \t/"))
            return false;
        port = first && first == last ? first + 1 : NULL;
    }
    if (!port)
        return true;
    char *end;
    errno = 0;
    unsigned long number = strtoul(port, &end, 10);
    return port[0] >= '0' && port[0] <= '9' && *end == '\0' && errno == 0 && number >= 1 && number <= 65535;
}

/* By what is written: two names of one machine are found when it is asked. */
static bool same_node(const char *one, const char *other)
{
    char port[16];
    size_t length = strlen(one);
    snprintf(port, sizeof port, ":%d", WIRE_PORT);
    if (length > strlen(other)) {
        const char *shorter = other;
        other = one;
        one = shorter;
        length = strlen(one);
    }
    return !strncmp(one, other, length) && (other[length] == '\0' || !strcmp(other + length, port));
}

static int nodes_parse(struct span_options *options, const char *where, const char *value, char *why)
{
    char *copy = strdup(value), *save = NULL;
    options->nodes = strdup(value);
    if (!copy || !options->nodes)
        return -ENOMEM; /* NOLINT(clang-analyzer-unix.Malloc): the process ends */
    options->node_count = 0;
    for (char *element = strtok_r(copy, ", \t", &save); element; element = strtok_r(NULL, ", \t", &save)) {
        if (!address_valid(element))
            return value_bad(why, where, element,
                             "host, host:port or [address]:port with ports from 1 to 65535, commas between");
        if (options->node_count == NODES_MAX - 1) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%s: too many nodes (at most %d with home)", where, NODES_MAX);
            return -EINVAL;
        }
        for (size_t i = 0; i < options->node_count; i++) {
            if (same_node(options->node_addresses[i], element)) {
                snprintf(why, WIRE_MESSAGE_BYTES, "%s: %.80s is named twice (name each node once)", where, element);
                return -EINVAL;
            }
        }
        options->node_addresses[options->node_count++] = element;
    }
    if (options->node_count == 0)
        return value_bad(why, where, value, "host, host:port or [address]:port, with commas between");
    return 0;
}

static int number_parse(const char *where, const char *value, unsigned *number, char *why)
{
    char *end;
    errno = 0;
    unsigned long parsed = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end || errno || parsed < 1 || parsed > NODES_MAX)
        return value_bad(why, where, value, "a number from 1 to 64");
    *number = (unsigned)parsed;
    return 0;
}

static int seconds_parse(const char *where, const char *value, unsigned *milliseconds, char *why)
{
    char *end;
    double seconds = strtod(value, &end);
    if (value[0] < '0' || value[0] > '9' || *end || !(seconds >= 0.001 && seconds <= 86400))
        return value_bad(why, where, value, "seconds, from 0.001 to 86400");
    *milliseconds = (unsigned)(seconds * 1000 + 0.5);
    return 0;
}

static int stats_parse(struct span_options *options, const char *where, const char *value, char *why)
{
    if (value && !value[0])
        return value_bad(why, where, value, "yes, no, or the name of a file");
    options->stats_file = NULL;
    if (!value || flag_parse(value, &options->stats)) {
        options->stats = value ? options->stats : true;
        return 0;
    }
    options->stats = true;
    options->stats_file = path_absolute(value);
    return options->stats_file ? 0 : -ENOMEM;
}

static int place_parse(struct span_options *options, const char *where, const char *value, char *why)
{
    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (!strcmp(value, place_names[i])) {
            options->place = (enum span_place)i;
            return 0;
        }
    }
    return value_bad(why, where, value, "spread, pack or home");
}

static int coproc_parse(struct span_options *options, const char *where, const char *value, char *why)
{
    static const char *const modes[] = {"off", "strict", "asif", "trace"};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (!strcmp(value, modes[i])) {
            options->coproc = modes[i];
            return 0;
        }
    }
    return value_bad(why, where, value, "off, strict, asif or trace");
}

static int compress_parse(struct span_options *options, const char *where, const char *value, char *why)
{
    for (size_t i = 0; i < COMPRESS_COUNT; i++) {
        if (!strcmp(value, compress_names[i])) {
            options->compress = (enum wire_compress)i;
            return 0;
        }
    }
    return value_bad(why, where, value, "auto, always or never");
}

static int text_store(const char **field, const char *value)
{
    *field = value ? strdup(value) : NULL;
    return *field ? 0 : -ENOMEM;
}

int option_apply(struct span_options *options, const struct option_row *row, const char *where, const char *value,
                 char why[WIRE_MESSAGE_BYTES])
{
    void *field = (char *)options + row->field;
    if (row - option_table < OURS)
        options->given |= 1ul << (row - option_table);
    switch (row->kind) {
    case OPTION_FLAG:
        if (value && !flag_parse(value, field))
            return value_bad(why, where, value, "yes or no");
        if (!value)
            *(bool *)field = true;
        return 0;
    case OPTION_NUMBER:
        return number_parse(where, value, field, why);
    case OPTION_SECONDS:
        return seconds_parse(where, value, field, why);
    case OPTION_NODES:
        return nodes_parse(options, where, value, why);
    case OPTION_PLACE:
        return place_parse(options, where, value, why);
    case OPTION_COMPRESS:
        return compress_parse(options, where, value, why);
    case OPTION_STATS:
        return stats_parse(options, where, value, why);
    case OPTION_PATH:
        *(const char **)field = path_absolute(value);
        return *(const char **)field ? 0 : -ENOMEM;
    case OPTION_TEXT:
        return text_store(field, value);
    case OPTION_COPROC:
        return coproc_parse(options, where, value, why);
    case OPTION_MODE:
        options->mode = (enum span_mode)row->mode;
        return 0;
    }
    return -EINVAL;
}

bool option_takes_value(const struct option_row *row)
{
    return row->kind != OPTION_FLAG && row->kind != OPTION_STATS && row->kind != OPTION_MODE;
}

static const struct option_row *row_find(const char *name, size_t length)
{
    for (size_t i = 0; i < option_table_count; i++) {
        if (strlen(option_table[i].name) == length && !memcmp(option_table[i].name, name, length))
            return &option_table[i];
    }
    return NULL;
}

/* Returns the index after the options, or a negative errno. */
static int command_line_parse(struct span_options *options, int argc, char *argv[], char *why)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-') {
        const char *argument = argv[i++];
        if (!strcmp(argument, "--"))
            break;
        const char *equals = strchr(argument, '='), *value = equals ? equals + 1 : NULL;
        size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
        const struct option_row *row = !strncmp(argument, "--", 2) ? row_find(argument + 2, length - 2) : NULL;
        if (!row) {
            snprintf(why, WIRE_MESSAGE_BYTES, "option %.60s: not known (ld-span.so --help lists them)", argument);
            return -EINVAL;
        }
        char where[48];
        snprintf(where, sizeof where, "option --%s", row->name);
        if (value && row->kind == OPTION_MODE) {
            snprintf(why, WIRE_MESSAGE_BYTES, "%s: takes no value", where);
            return -EINVAL;
        }
        if (!value && option_takes_value(row)) {
            if (i == argc) {
                snprintf(why, WIRE_MESSAGE_BYTES, "%s: needs a value (ld-span.so --help explains it)", where);
                return -EINVAL;
            }
            value = argv[i++];
        }
        int error = option_apply(options, row, where, value, why);
        if (error)
            return error;
    }
    return i;
}

/* What only all options together tell; `result` is passed on when it is a failure already. */
static int options_judge(const struct span_options *options, int result, char *why)
{
    if (result >= 0 && options_total_nodes(options) > NODES_MAX) {
        snprintf(why, WIRE_MESSAGE_BYTES, "--local %u with %u in --nodes: too many nodes (at most %d)", options->local,
                 options->node_count, NODES_MAX);
        return -EINVAL;
    }
    if (result < 0 && !why[0])
        snprintf(why, WIRE_MESSAGE_BYTES, "options: %s", strerror(-result));
    return result;
}

int options_parse_more(struct span_options *options, int argc, char *argv[], char why[WIRE_MESSAGE_BYTES])
{
    why[0] = '\0';
    int index = command_line_parse(options, argc, argv, why);
    return options_judge(options, index, why);
}

static void options_default(struct span_options *options)
{
    memset(options, 0, sizeof *options);
    options->local = 1;
    options->timeout_ms = SPAN_TIMEOUT_MS_DEFAULT;
}

int options_parse(struct span_options *options, int argc, char *argv[], char *envp[], bool command_line,
                  char why[WIRE_MESSAGE_BYTES])
{
    options_default(options);
    why[0] = '\0';
    int result = option_files_read(options, envp, why);
    if (!result)
        result = option_variables_read(options, envp, why);
    if (!result)
        return options_judge(options, command_line ? command_line_parse(options, argc, argv, why) : 1, why);
    /* Who asks for help need not have everything right. */
    char unused[WIRE_MESSAGE_BYTES];
    options_default(options);
    int first = command_line ? command_line_parse(options, argc, argv, unused) : -1;
    return first >= 0 && (options->mode == SPAN_HELP || options->mode == SPAN_SHOW_VERSION) ? first : result;
}
/* ---- back to text: no allocation, no locale, no lock
 * ------------------------------------------------------------- */

struct writer {
    char *out;
    size_t used, capacity;
    bool full;
};

static void writer_text(struct writer *writer, const char *text)
{
    for (; *text && !writer->full; text++) {
        if (writer->used + 1 >= writer->capacity)
            writer->full = true;
        else
            writer->out[writer->used++] = *text;
    }
}

static void writer_number(struct writer *writer, unsigned number, unsigned digits)
{
    char text[12];
    size_t i = sizeof text;
    text[--i] = '\0';
    for (; number || digits; number /= 10, digits -= digits ? 1 : 0)
        text[--i] = (char)('0' + number % 10);
    writer_text(writer, text + i);
}

/* The value of a row as text; a flag's only when it was turned off. */
static void writer_value(struct writer *writer, const struct span_options *options, const struct option_row *row)
{
    const void *field = (const char *)options + row->field;
    switch (row->kind) {
    case OPTION_FLAG:
        writer_text(writer, *(const bool *)field ? "=yes" : "=no");
        break;
    case OPTION_NUMBER:
        writer_text(writer, "=");
        writer_number(writer, *(const unsigned *)field, 1);
        break;
    case OPTION_SECONDS:
        writer_text(writer, "=");
        writer_number(writer, options->timeout_ms / 1000, 1);
        writer_text(writer, ".");
        writer_number(writer, options->timeout_ms % 1000, 3);
        break;
    case OPTION_STATS:
        writer_text(writer, "=");
        writer_text(writer, options->stats_file ? options->stats_file : options->stats ? "yes" : "no");
        break;
    case OPTION_PLACE:
        writer_text(writer, "=");
        writer_text(writer, place_names[options->place]);
        break;
    case OPTION_COMPRESS:
        writer_text(writer, "=");
        writer_text(writer, compress_names[options->compress]);
        break;
    default:
        writer_text(writer, "=");
        writer_text(writer, *(const char *const *)field);
    }
}

size_t options_serialize(const struct span_options *options, char *out, size_t capacity, char *argv[], size_t slots)
{
    struct writer writer = {.out = out, .capacity = capacity};
    size_t count = 0;
    for (size_t i = 0; i < OURS; i++) {
        if (!(options->given & 1ul << i))
            continue;
        if (count == slots || writer.used >= capacity)
            return SIZE_MAX;
        argv[count++] = out + writer.used;
        writer_text(&writer, "--");
        writer_text(&writer, option_table[i].name);
        writer_value(&writer, options, &option_table[i]);
        if (writer.full)
            return SIZE_MAX;
        out[writer.used++] = '\0';
    }
    return count;
}
