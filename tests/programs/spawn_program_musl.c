/* The same as spawn_program, with musl. */
#include "spawn_program.c"
