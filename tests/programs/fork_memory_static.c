/* The same as fork_memory, in a static program. */
#include "fork_memory.c"
