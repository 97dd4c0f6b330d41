/*
 * The option table, shared by the files that read and explain options. Not for anyone else.
 */
#ifndef LD_SPAN_OPTIONS_TABLE_H
#define LD_SPAN_OPTIONS_TABLE_H

#include "ld-span/options.h"

enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_NUMBER,  /* unsigned, 1 to NODES_MAX */
    OPTION_SECONDS, /* unsigned milliseconds */
    OPTION_NODES,
    OPTION_PLACE,
    OPTION_COMPRESS,
    OPTION_STATS,
    OPTION_PATH, /* const char *, made absolute */
    OPTION_TEXT, /* const char * */
    OPTION_COPROC,
    OPTION_MODE,
};

enum option_source {
    SOURCE_COMMAND,  /* command line only */
    SOURCE_VARIABLE, /* and SPAN_* */
    SOURCE_ANY,      /* and span.conf */
};

struct option_row {
    const char *name; /* without dashes; the variable is SPAN_ and this in capitals, '-' as '_' */
    uint8_t kind, source;
    uint16_t field; /* offset in struct span_options */
    uint8_t mode;   /* enum span_mode */
};

extern const struct option_row option_table[];
extern const size_t option_table_count;

bool option_takes_value(const struct option_row *row);
/* Sets a field; `where` names the source in messages, `value` NULL for a bare flag. 0 or negative
 * errno and `why`. */
int option_apply(struct span_options *options, const struct option_row *row, const char *where, const char *value,
                 char why[WIRE_MESSAGE_BYTES]);

/* span.conf: SPAN_CONFIG alone when set, else /etc/span.conf, then the user's. 0 or negative errno
 * and `why`. */
int option_files_read(struct span_options *options, char *envp[], char why[WIRE_MESSAGE_BYTES]);
int option_variables_read(struct span_options *options, char *envp[], char why[WIRE_MESSAGE_BYTES]);

#endif
