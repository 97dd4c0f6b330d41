/*
 * Reading a trace. Not for replaying it.
 *
 * Which request made which thread wait is not in the trace. What is: when each was answered. A request is taken to
 * begin after the answer that its node got last, as much later as it did when it was recorded. So requests that were
 * under way together are so again, and everything is later when answers are.
 */
#include "tests/simulate/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 128

struct record {
    uint64_t at_ns, node, page, count;
    char kind, detail;
};

struct reading {
    struct record *records;
    size_t count, capacity;
};

static int line_bad(char *why, size_t line, const char *what)
{
    snprintf(why, WIRE_MESSAGE_BYTES, "line %zu of the trace: %s", line, what);
    return -EPROTO;
}

/* NULL, or what is wrong with the line. */
static const char *record_parse(const char *line, unsigned node_count, struct record *record)
{
    char last[24], rest;
    int fields = sscanf(line, "%c %" SCNu64 " %" SCNx64 " %" SCNx64 " %23s %c", &record->kind, &record->at_ns,
                        &record->node, &record->page, last, &rest);
    if (fields != 5)
        return "five fields are wanted";
    if (record->page < SPAN_ZONE_START >> PAGE_SHIFT || record->page >= SPAN_ZONE_END >> PAGE_SHIFT)
        return "no such page";
    bool range = record->kind == 'd' || record->kind == 'b';
    if (range) {
        char *end;
        record->count = strtoull(last, &end, 10);
        return *end != '\0' || record->count == 0 ? "a range needs a count" : NULL;
    }
    if (record->node >= node_count)
        return "no such node";
    record->detail = last[0];
    if (last[1] != '\0' || !((record->kind == 'q' && strchr("rw", last[0]) != NULL) ||
                             (record->kind == 'g' && strchr("zdpg", last[0]) != NULL)))
        return "no such kind of record";
    return NULL;
}

static int records_read(FILE *file, struct trace *trace, struct reading *reading, char *why)
{
    char line[LINE_BYTES];
    if (fgets(line, sizeof line, file) == NULL ||
        sscanf(line, "ld-span-trace 1 nodes %u left-out %" SCNu64, &trace->node_count, &trace->left_out) != 2 ||
        trace->node_count == 0 || trace->node_count > NODES_MAX)
        return line_bad(why, 1, "not the first line of a trace");
    while (fgets(line, sizeof line, file) != NULL) {
        struct record record = {0};
        const char *wrong = record_parse(line, trace->node_count, &record);
        size_t count = reading->count;
        if (wrong == NULL && count != 0 && record.at_ns < reading->records[count - 1].at_ns)
            wrong = "time goes backwards";
        if (wrong != NULL)
            return line_bad(why, count + 2, wrong);
        if (count == reading->capacity) {
            reading->capacity = count != 0 ? 2 * count : 4096;
            struct record *more = realloc(reading->records, reading->capacity * sizeof *more);
            if (more == NULL)
                return -ENOMEM;
            reading->records = more;
        }
        reading->records[reading->count++] = record;
    }
    return 0;
}

static int number_compare(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static int pages_collect(struct trace *trace, const struct reading *reading)
{
    uint64_t *numbers = malloc((reading->count + 1) * sizeof *numbers);
    if (numbers == NULL)
        return -ENOMEM;
    size_t count = 0;
    for (size_t i = 0; i < reading->count; i++)
        if (reading->records[i].kind == 'q')
            numbers[count++] = reading->records[i].page;
    qsort(numbers, count, sizeof *numbers, number_compare);
    trace->pages = calloc(count + 1, sizeof *trace->pages);
    for (size_t i = 0; i < count && trace->pages != NULL; i++)
        if (i == 0 || numbers[i] != numbers[i - 1])
            trace->pages[trace->page_count++].number = numbers[i];
    free(numbers);
    return trace->pages != NULL ? 0 : -ENOMEM;
}

/* The first page that is not before `number`. */
static uint32_t page_find(const struct trace *trace, uint64_t number)
{
    uint32_t low = 0, high = trace->page_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trace->pages[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct trace_step *step_add(struct trace_actor *actor)
{
    if (actor->count == actor->capacity) {
        actor->capacity = actor->count != 0 ? 2 * actor->count : 1024;
        struct trace_step *more = realloc(actor->steps, actor->capacity * sizeof *more);
        if (more == NULL)
            return NULL;
        actor->steps = more;
    }
    struct trace_step *step = &actor->steps[actor->count++];
    *step = (struct trace_step){.after = TRACE_NONE, .first = TRACE_NONE, .next = TRACE_NONE};
    return step;
}

/* What a node has under way while the records are gone through. */
struct progress {
    uint32_t *asked;    /* by page: 1 + the step that has no answer yet, 0: none */
    uint32_t answered;  /* the step answered last */
    uint64_t answer_ns; /* when */
};

static int steps_collect(struct trace *trace, const struct reading *reading, uint64_t way_ns, struct progress *progress)
{
    uint64_t start_ns = reading->count != 0 ? reading->records[0].at_ns : 0;
    for (unsigned node = 0; node < trace->node_count; node++) {
        progress[node] = (struct progress){
            .asked = calloc(trace->page_count + 1, sizeof(uint32_t)), .answered = TRACE_NONE, .answer_ns = start_ns};
        if (progress[node].asked == NULL)
            return -ENOMEM;
    }
    for (size_t i = 0; i < reading->count; i++) {
        const struct record *record = &reading->records[i];
        bool range = record->kind == 'd' || record->kind == 'b';
        unsigned node = range ? HOME_NODE : (unsigned)record->node;
        struct progress *own = &progress[node];
        uint32_t page = page_find(trace, record->page);
        bool known = page < trace->page_count && trace->pages[page].number == record->page;
        if (record->kind == 'g') { /* unasked, when a thread brings the page along */
            if (!known || own->asked[page] == 0)
                continue;
            own->answered = own->asked[page] - 1;
            own->answer_ns = record->at_ns;
            own->asked[page] = 0;
            if (!trace->pages[page].answered)
                trace->pages[page].data = record->detail == 'd';
            trace->pages[page].answered = true;
            continue;
        }
        struct trace_step *step = step_add(&trace->actors[node]);
        if (step == NULL)
            return -ENOMEM;
        uint64_t gap_ns = record->at_ns - own->answer_ns,
                 way = node == HOME_NODE || own->answered == TRACE_NONE ? 0 : way_ns;
        step->think_ns = gap_ns > way ? gap_ns - way : 0;
        step->after = own->answered;
        step->page = page;
        if (range) {
            step->kind = record->kind == 'd' ? TRACE_DROP : TRACE_BRING;
            step->nodes = record->node;
            step->end = page_find(trace, record->page + record->count);
            continue;
        }
        step->kind = TRACE_ASK;
        step->write = record->detail == 'w';
        own->asked[page] = trace->actors[node].count;
        trace->pages[page].nodes |= 1ull << node;
        trace->asks++;
    }
    trace->duration_ns = reading->count != 0 ? reading->records[reading->count - 1].at_ns - start_ns : 0;
    return 0;
}

/* Each step into the list of the one that it comes after, in order. */
static void steps_link(struct trace_actor *actor)
{
    actor->first = TRACE_NONE;
    for (uint32_t i = actor->count; i-- > 0;) {
        struct trace_step *step = &actor->steps[i];
        uint32_t *list = step->after == TRACE_NONE ? &actor->first : &actor->steps[step->after].first;
        step->next = *list;
        *list = i;
    }
}

int trace_read(FILE *file, uint64_t way_ns, struct trace *trace, char why[WIRE_MESSAGE_BYTES])
{
    struct reading reading = {0};
    struct progress progress[NODES_MAX] = {0};
    memset(trace, 0, sizeof *trace);
    snprintf(why, WIRE_MESSAGE_BYTES, "no memory for the trace");
    int error = records_read(file, trace, &reading, why);
    if (error == 0)
        error = pages_collect(trace, &reading);
    if (error == 0)
        error = steps_collect(trace, &reading, way_ns, progress);
    for (unsigned node = 0; node < NODES_MAX; node++) {
        free(progress[node].asked);
        steps_link(&trace->actors[node]);
    }
    free(reading.records);
    if (error != 0)
        trace_free(trace);
    return error;
}

void trace_free(struct trace *trace)
{
    for (unsigned node = 0; node < NODES_MAX; node++)
        free(trace->actors[node].steps);
    free(trace->pages);
    memset(trace, 0, sizeof *trace);
}

bool trace_page_shared(const struct trace_page *page)
{
    uint64_t peers = page->nodes & ~(1ull << HOME_NODE);
    return (peers & (peers - 1)) != 0;
}
