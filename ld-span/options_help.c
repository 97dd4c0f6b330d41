/*
 * The text of --help. Not for what options do.
 */
#include <stdio.h>

#include "ld-span/options.h"

void options_help(const char *self)
{
    printf("Usage: %s [OPTION]... PROGRAM [ARGUMENT]...\n"
           "Runs PROGRAM over several nodes: its threads, its memory and its calls.\n"
           "\n"
           "Nodes:\n"
           "  --local N              N nodes on this machine, home included (default 1)\n"
           "  --nodes LIST           machines that run spand: host[:port],... (port %d)\n"
           "  --place spread|pack|home   where a new thread starts (default spread)\n"
           "  --no-pin               do not divide this machine's processors among its nodes\n"
           "  --compress auto|always|never   pages for other machines, with zstd (default auto: where it is faster)\n"
           "  --best-effort          go on without nodes that cannot be reached\n"
           "  --timeout SECONDS      for reaching a node (default %d)\n"
           "  --key FILE             pre-shared key for nodes that are not on this machine\n"
           "  --insecure             do without a key\n"
           "Running:\n"
           "  --no-patch             catch every call by dispatch, rewrite no call sites\n"
           "  --no-balance           threads stay on a node where they only wait for pages\n"
           "  --no-ahead             ask for no page before it is touched, to see what asking ahead gives\n"
           "  --no-follow            programs that PROGRAM executes run natively\n"
           "  --stats[=FILE]         statistics at exit, on standard error, or as JSON in FILE\n"
           "                         (%%p in FILE is the process id)\n"
           "  --trace FILE           what home's directory is asked for, in FILE at exit\n"
           "  --verbose              tell what is being done, on standard error\n"
           "  --coproc off|strict|asif|trace   coprocessor streams, for OpenCL (default off)\n"
           "As ld.so has them:\n"
           "  --list                 list all dependencies and how they are resolved\n"
           "  --verify               is PROGRAM a dynamically linked object that can be run?\n"
           "  --library-path PATH    instead of LD_LIBRARY_PATH\n"
           "  --preload LIST         preload the objects named\n"
           "  --audit LIST           use the objects named as auditors\n"
           "  --argv0 STRING         argv[0] of PROGRAM\n"
           "  --executed PATH        run the file PATH, as execve has it: PROGRAM is its argv[0]\n"
           "  --inhibit-cache        do not use /etc/ld.so.cache\n"
           "  --inhibit-rpath LIST   ignore RUNPATH and RPATH of the objects named\n"
           "  --glibc-hwcaps-prepend LIST, --glibc-hwcaps-mask LIST\n"
           "  --list-diagnostics, --list-tunables, --help, --version\n"
           "\n"
           "Options take their value after a space or '='. Each has a variable (SPAN_LOCAL, "
           "SPAN_NO_PATCH=yes, ...),\n"
           "and ours a key in /etc/span.conf and ~/.config/span.conf; the option counts over the "
           "variable over the file.\n"
           "Exit status: PROGRAM's own; 125 failure of ld-span, 126 PROGRAM is not executable, 127 "
           "it is not found.\n",
           self, WIRE_PORT, SPAN_TIMEOUT_MS_DEFAULT / 1000);
}
