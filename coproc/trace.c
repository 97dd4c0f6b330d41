/*
 * The trace: what was answered, started and ended when, and what waited for what, as Chrome trace
 * events (JSON) and as DOT. Bounded: beyond TRACE_MAX records nothing more is kept, and the file
 * says so. Not for deciding anything.
 */
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coproc/engine_parts.h"

#define TRACE_MAX 1000000u

enum record_kind { RECORD_COMMAND, RECORD_EDGE, RECORD_WAIT };

struct record {
    enum record_kind kind;
    const char *name;
    uint64_t sequence, other; /* edge: from, to */
    uint64_t called_ns, answered_ns, submitted_ns, start_ns, end_ns;
    unsigned device, queue;
    int status;
    long thread;
};

struct trace {
    struct record *records;
    size_t count, capacity, lost;
    uint64_t origin_ns;
};

struct trace *trace_new(void)
{
    struct trace *trace = calloc(1, sizeof *trace);
    if (trace)
        trace->origin_ns = engine_now_ns();
    return trace;
}

void trace_free(struct trace *trace)
{
    if (trace)
        free(trace->records);
    free(trace);
}

static void record_add(struct trace *trace, struct record record)
{
    if (trace->count == trace->capacity) {
        size_t capacity = trace->capacity ? 2 * trace->capacity : 1024;
        struct record *records = capacity > 2 * TRACE_MAX ? NULL : realloc(trace->records, capacity * sizeof *records);
        if (!records) {
            trace->lost++;
            return;
        }
        trace->records = records;
        trace->capacity = capacity;
    }
    trace->records[trace->count++] = record;
}

void trace_edge(struct coproc_engine *engine, const struct coproc_command *from, const struct coproc_command *to,
                const char *kind)
{
    record_add(engine->trace,
               (struct record){.kind = RECORD_EDGE, .name = kind, .sequence = from->sequence, .other = to->sequence});
}

void trace_command(struct coproc_engine *engine, const struct coproc_command *command)
{
    record_add(engine->trace, (struct record){
                                  .kind = RECORD_COMMAND,
                                  .name = command->name,
                                  .sequence = command->sequence,
                                  .called_ns = command->called_ns,
                                  .answered_ns = command->answered_ns,
                                  .submitted_ns = command->submitted_ns,
                                  .start_ns = command->start_ns,
                                  .end_ns = command->end_ns,
                                  .device = command->queue ? command->queue->device->number : 0,
                                  .queue = command->queue ? command->queue->number : 0,
                                  .status = command->status,
                              });
}

void trace_wait(struct coproc_engine *engine, const char *name, uint64_t start_ns, uint64_t end_ns)
{
    record_add(
        engine->trace,
        (struct record){
            .kind = RECORD_WAIT, .name = name, .start_ns = start_ns, .end_ns = end_ns, .thread = syscall(SYS_gettid)});
}

/* ---- files
 * --------------------------------------------------------------------------------------------------------------------------
 */

static double microseconds(const struct trace *trace, uint64_t ns)
{
    return ns > trace->origin_ns ? (double)(ns - trace->origin_ns) / 1000 : 0;
}

static void name_write(FILE *file, const char *name)
{
    for (; name && *name; name++)
        fputc(*name == '"' || *name == '\\' || *name < ' ' ? '_' : *name, file);
}

/* Process 1 is the host, process 2 + N coprocessor N, with a row for each queue. */
static void json_command(FILE *file, const struct trace *trace, const struct record *record)
{
    static const char *const phases[] = {"call", "run"};
    for (unsigned phase = 0; phase < 2; phase++) {
        uint64_t start = phase ? record->start_ns : record->called_ns,
                 end = phase ? record->end_ns : record->answered_ns;
        if (!start || end < start)
            continue;
        fprintf(file, ",\n{\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"", phases[phase]);
        name_write(file, record->name);
        fprintf(file,
                "\",\"pid\":%u,\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"command\":%" PRIu64 ",\"queue\":%u,"
                "\"device\":%u,\"answered\":%.3f,\"submitted\":%.3f,\"status\":%d}}",
                phase ? 2 + record->device : 1, record->queue, microseconds(trace, start), (double)(end - start) / 1000,
                record->sequence, record->queue, record->device, microseconds(trace, record->answered_ns),
                microseconds(trace, record->submitted_ns), record->status);
    }
}

static void json_write(FILE *file, const struct coproc_engine *engine)
{
    const struct trace *trace = engine->trace;
    fprintf(file, "{\"displayTimeUnit\":\"ns\",\"lost\":%zu,\"traceEvents\":[\n", trace->lost);
    fprintf(file, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"args\":{\"name\":\"host\"}}");
    for (size_t i = 0; i < trace->count; i++) {
        const struct record *record = &trace->records[i];
        if (record->kind == RECORD_COMMAND)
            json_command(file, trace, record);
        else if (record->kind == RECORD_WAIT)
            fprintf(file,
                    ",\n{\"ph\":\"X\",\"cat\":\"wait\",\"name\":\"%s\",\"pid\":1,\"tid\":%ld,"
                    "\"ts\":%.3f,\"dur\":%.3f}",
                    record->name, record->thread, microseconds(trace, record->start_ns),
                    (double)(record->end_ns - record->start_ns) / 1000);
        else
            fprintf(file,
                    ",\n{\"ph\":\"i\",\"cat\":\"edge\",\"s\":\"g\",\"name\":\"%s\",\"pid\":1,"
                    "\"ts\":0,\"args\":"
                    "{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}",
                    record->name, record->sequence, record->other);
    }
    fprintf(file, "\n]}\n");
}

static void dot_write(FILE *file, const struct coproc_engine *engine)
{
    const struct trace *trace = engine->trace;
    fprintf(file, "digraph streams {\n    node [shape=box];\n");
    for (size_t i = 0; i < trace->count; i++) {
        const struct record *record = &trace->records[i];
        if (record->kind == RECORD_COMMAND) {
            fprintf(file, "    c%" PRIu64 " [label=\"", record->sequence);
            name_write(file, record->name);
            fprintf(file, "\\nqueue %u, coprocessor %u\\nanswered %.3f\\nstart %.3f\\nend %.3f\"];\n", record->queue,
                    record->device, microseconds(trace, record->answered_ns), microseconds(trace, record->start_ns),
                    microseconds(trace, record->end_ns));
        } else if (record->kind == RECORD_EDGE) {
            fprintf(file, "    c%" PRIu64 " -> c%" PRIu64 " [label=\"%s\"];\n", record->sequence, record->other,
                    record->name);
        }
    }
    fprintf(file, "}\n");
}

void trace_write(struct coproc_engine *engine)
{
    if (!engine->trace)
        return;
    static const struct {
        const char *suffix;
        void (*write)(FILE *file, const struct coproc_engine *engine);
    } files[] = {{"json", json_write}, {"dot", dot_write}};
    for (unsigned i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s.%s", engine->settings.trace_prefix, files[i].suffix);
        FILE *file = fopen(path, "we");
        if (!file) {
            fprintf(stderr,
                    "ld-span: cannot write the trace %s: %m (choose another place with "
                    "SPAN_COPROC_TRACE)\n",
                    path);
            continue;
        }
        files[i].write(file, engine);
        fclose(file);
    }
}
