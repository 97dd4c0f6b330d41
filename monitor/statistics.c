/*
 * Writing a session's statistics: the table and the JSON. Not for collecting them.
 */
#include "monitor/statistics.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/fatal.h"

#define LABEL_WIDTH  20
#define COLUMN_WIDTH 14
#define COLUMNS_MAX  8 /* more nodes go into another table below */

uint64_t statistics_percentile(const uint64_t buckets[WIRE_LATENCY_BUCKETS], unsigned percent)
{
    uint64_t total = 0, below = 0;
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        total += buckets[i];
    if (total == 0)
        return 0;
    uint64_t wanted = (total * percent + 99) / 100;
    wanted = wanted > 0 ? wanted : 1;
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++) {
        if (buckets[i] > 0 && below + buckets[i] >= wanted) {
            double part = (double)(wanted - below) / (double)buckets[i];
            return (1ull << i) + (uint64_t)((double)(1ull << i) * part);
        }
        below += buckets[i];
    }
    return 1ull << WIRE_LATENCY_BUCKETS;
}

static uint64_t histogram_count(const uint64_t buckets[WIRE_LATENCY_BUCKETS])
{
    uint64_t total = 0;
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        total += buckets[i];
    return total;
}

static double cpu_seconds(const struct wire_statistics *node)
{
    return (double)(node->cpu_user_us + node->cpu_system_us) / 1e6;
}

static double cpu_seconds_all(const struct statistics_session *session)
{
    double sum = 0;
    for (unsigned i = 0; i < session->node_count; i++)
        sum += cpu_seconds(&session->nodes[i]);
    return sum;
}

static double cpu_share(const struct statistics_session *session, unsigned node)
{
    double all = cpu_seconds_all(session);
    return all > 0 ? 100.0 * cpu_seconds(&session->nodes[node]) / all : 0;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static json_t *latency_pack(const uint64_t buckets[WIRE_LATENCY_BUCKETS])
{
    json_t *list = json_array();
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        json_array_append_new(list, json_integer((json_int_t)buckets[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "count", (json_int_t)histogram_count(buckets), "p50",
                     (json_int_t)statistics_percentile(buckets, 50), "p90",
                     (json_int_t)statistics_percentile(buckets, 90), "p99",
                     (json_int_t)statistics_percentile(buckets, 99), "buckets", list);
}

#define MEMBER(name)                                                                                                   \
    {                                                                                                                  \
#name, offsetof(struct wire_statistics, name)                                                                  \
    }

static const struct {
    const char *name;
    unsigned offset;
} members[] = {
    MEMBER(cpu_user_us), MEMBER(cpu_system_us), MEMBER(program_us),      MEMBER(idle_us),       MEMBER(threads_run),
    MEMBER(faults_read), MEMBER(faults_write),  MEMBER(faults_upgrade),  MEMBER(pages_in),      MEMBER(pages_out),
    MEMBER(pages_zero),  MEMBER(pages_file),    MEMBER(recalls),         MEMBER(bytes_in),      MEMBER(bytes_out),
    MEMBER(bytes_saved), MEMBER(calls_local),   MEMBER(calls_forwarded), MEMBER(migrations_in), MEMBER(migrations_out),
};

static json_t *node_pack(const struct statistics_session *session, unsigned index)
{
    const struct wire_statistics *node = &session->nodes[index];
    json_t *object = json_pack("{s:i, s:s, s:f}", "node", (int)index, "name", session->names[index],
                               "cpu_share_percent", cpu_share(session, index));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint64_t value;
        memcpy(&value, (const char *)node + members[i].offset, sizeof value);
        json_object_set_new(object, members[i].name, json_integer((json_int_t)value));
    }
    json_object_set_new(object, "fault_latency_ns", latency_pack(node->fault_latency));
    json_object_set_new(object, "call_latency_ns", latency_pack(node->call_latency));
    return object;
}

char *statistics_json(const struct statistics_session *session)
{
    json_t *nodes = json_array();
    for (unsigned i = 0; i < session->node_count; i++)
        json_array_append_new(nodes, node_pack(session, i));
    json_t *all = json_pack("{s:s, s:i, s:f, s:f, s:o}", "program", session->program != NULL ? session->program : "",
                            "pid", (int)session->pid, "wall_seconds", session->wall_seconds, "cpu_seconds",
                            cpu_seconds_all(session), "nodes", nodes);
    char *text = json_dumps(all, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
    json_decref(all);
    return text;
}

static void histogram_read(const json_t *node, const char *name, uint64_t buckets[WIRE_LATENCY_BUCKETS])
{
    const json_t *list = json_object_get(json_object_get(node, name), "buckets");
    for (unsigned i = 0; i < WIRE_LATENCY_BUCKETS; i++)
        buckets[i] = (uint64_t)json_integer_value(json_array_get(list, i));
}

int statistics_read_node(const json_t *node, struct wire_statistics *out)
{
    memset(out, 0, sizeof *out);
    if (!json_is_object(node))
        return -EPROTO;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint64_t value = (uint64_t)json_integer_value(json_object_get(node, members[i].name));
        memcpy((char *)out + members[i].offset, &value, sizeof value);
    }
    histogram_read(node, "fault_latency_ns", out->fault_latency);
    histogram_read(node, "call_latency_ns", out->call_latency);
    return 0;
}

static int text_write(const char *path, const char *text)
{
    FILE *out = fopen(path, "we");
    if (out == NULL)
        return -errno;
    int result = fprintf(out, "%s\n", text) < 0 ? -errno : 0;
    if (fclose(out) != 0 && result == 0)
        result = -errno;
    return result;
}

/* A file is replaced, so that nobody reads half of it; a device, a pipe or a link is written as it
 * is. */
static int text_replace(const char *path, const char *text)
{
    struct stat old;
    char temporary[PATH_MAX];
    if (lstat(path, &old) == 0 && !S_ISREG(old.st_mode))
        return text_write(path, text);
    int length = snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)getpid());
    if (length >= (int)sizeof temporary)
        return -ENAMETOOLONG;
    int result = text_write(temporary, text);
    if (result == 0 && rename(temporary, path) != 0)
        result = -errno;
    if (result < 0)
        unlink(temporary);
    return result;
}

static int json_write(char *text, const char *path)
{
    int result = text != NULL ? text_replace(path, text) : -ENOMEM;
    free(text);
    if (result < 0)
        span_warn("statistics were not written to %s: %s (choose another file with --stats=FILE)", path,
                  strerror(-result));
    return result;
}

int statistics_write_json(const struct statistics_session *session, const char *path)
{
    return json_write(statistics_json(session), path);
}

int statistics_write_error(const char *program, pid_t pid, const char *error, const char *path)
{
    json_t *all = json_pack("{s:s, s:i, s:s}", "program", program, "pid", (int)pid, "error", error);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    struct stat old;
    if (stat(path, &old) == 0 && !S_ISREG(old.st_mode)) { /* who reads a pipe may not come any more */
        free(text);
        return 0;
    }
    return json_write(text, path);
}

/* ---- the table ----------------------------------------------------------------------------- */

enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_SECONDS, UNIT_PERCENT, UNIT_FAULT, UNIT_CALL };

struct table_row {
    const char *title; /* of a group that starts here, or NULL */
    const char *label;
    enum unit unit;
    unsigned offset; /* in struct wire_statistics; of a latency, the percentage */
};

#define COUNTER(title, label, unit, member)                                                                            \
    {                                                                                                                  \
        title, label, unit, offsetof(struct wire_statistics, member)                                                   \
    }

static const struct table_row rows[] = {
    COUNTER(NULL, "threads run", UNIT_COUNT, threads_run),
    {NULL, "CPU seconds", UNIT_SECONDS, 0},
    {NULL, "share of the work", UNIT_PERCENT, 0},
    COUNTER("faults", "to read", UNIT_COUNT, faults_read),
    COUNTER(NULL, "to write", UNIT_COUNT, faults_write),
    COUNTER(NULL, "to upgrade", UNIT_COUNT, faults_upgrade),
    {NULL, "50 % within", UNIT_FAULT, 50},
    {NULL, "90 % within", UNIT_FAULT, 90},
    {NULL, "99 % within", UNIT_FAULT, 99},
    COUNTER("pages", "in", UNIT_COUNT, pages_in),
    COUNTER(NULL, "out", UNIT_COUNT, pages_out),
    COUNTER(NULL, "zero", UNIT_COUNT, pages_zero),
    COUNTER(NULL, "of files", UNIT_COUNT, pages_file),
    COUNTER(NULL, "recalled", UNIT_COUNT, recalls),
    COUNTER("network", "bytes in", UNIT_BYTES, bytes_in),
    COUNTER(NULL, "bytes out", UNIT_BYTES, bytes_out),
    COUNTER(NULL, "saved by packing", UNIT_BYTES, bytes_saved),
    COUNTER("calls", "carried out here", UNIT_COUNT, calls_local),
    COUNTER(NULL, "sent home", UNIT_COUNT, calls_forwarded),
    {NULL, "50 % within", UNIT_CALL, 50},
    {NULL, "90 % within", UNIT_CALL, 90},
    {NULL, "99 % within", UNIT_CALL, 99},
    COUNTER("migrations", "in", UNIT_COUNT, migrations_in),
    COUNTER(NULL, "out", UNIT_COUNT, migrations_out),
};

static void bytes_print(FILE *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 10000 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    fprintf(out, "%*.0f %s", COLUMN_WIDTH - 1 - (int)strlen(units[unit]), value, units[unit]);
}

static void latency_print(FILE *out, const uint64_t buckets[WIRE_LATENCY_BUCKETS], unsigned percent)
{
    if (histogram_count(buckets) == 0)
        fprintf(out, "%*s", COLUMN_WIDTH, "-");
    else
        fprintf(out, "%*.1f us", COLUMN_WIDTH - 3, (double)statistics_percentile(buckets, percent) / 1e3);
}

static void cell_print(FILE *out, const struct statistics_session *session, unsigned index, const struct table_row *row)
{
    const struct wire_statistics *node = &session->nodes[index];
    uint64_t value = 0;
    if (row->unit == UNIT_COUNT || row->unit == UNIT_BYTES)
        memcpy(&value, (const char *)node + row->offset, sizeof value);
    switch (row->unit) {
    case UNIT_COUNT:
        fprintf(out, "%*lu", COLUMN_WIDTH, value);
        break;
    case UNIT_BYTES:
        bytes_print(out, value);
        break;
    case UNIT_SECONDS:
        fprintf(out, "%*.2f", COLUMN_WIDTH, cpu_seconds(node));
        break;
    case UNIT_PERCENT:
        fprintf(out, "%*.1f %%", COLUMN_WIDTH - 2, cpu_share(session, index));
        break;
    case UNIT_FAULT:
        latency_print(out, node->fault_latency, row->offset);
        break;
    case UNIT_CALL:
        latency_print(out, node->call_latency, row->offset);
        break;
    }
}

/* The end of a name tells nodes apart: it has the port. */
static void head_print(FILE *out, const char *name)
{
    size_t length = strlen(name);
    fprintf(out, " %*s", COLUMN_WIDTH, length > COLUMN_WIDTH ? name + length - COLUMN_WIDTH : name);
}

char *statistics_text(const struct statistics_session *session)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    fprintf(out, "ld-span: %s (pid %d) on %u node%s, %.2f s, %.2f CPU seconds\n",
            session->program != NULL ? session->program : "?", (int)session->pid, session->node_count,
            session->node_count == 1 ? "" : "s", session->wall_seconds, cpu_seconds_all(session));
    for (unsigned first = 0; first < session->node_count; first += COLUMNS_MAX) {
        unsigned end = first + COLUMNS_MAX < session->node_count ? first + COLUMNS_MAX : session->node_count;
        fprintf(out, "%*s", LABEL_WIDTH, "");
        for (unsigned i = first; i < end; i++)
            head_print(out, session->names[i]);
        fputc('\n', out);
        for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
            if (rows[row].title != NULL)
                fprintf(out, "%s\n", rows[row].title);
            fprintf(out, "  %-*s", LABEL_WIDTH - 2, rows[row].label);
            for (unsigned i = first; i < end; i++) {
                fputc(' ', out);
                cell_print(out, session, i, &rows[row]);
            }
            fputc('\n', out);
        }
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

void statistics_print(const struct statistics_session *session)
{
    char *text = statistics_text(session);
    const char *rest = text;
    size_t left = text != NULL ? strlen(text) : 0;
    while (left > 0) {
        ssize_t put = write(span_stderr(), rest, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            break; /* nobody listens */
        rest += put;
        left -= (size_t)put;
    }
    free(text);
}
