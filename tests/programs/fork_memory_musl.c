/* The same as fork_memory, with musl. */
#include "fork_memory.c"
