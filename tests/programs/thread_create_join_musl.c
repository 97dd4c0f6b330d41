/* The same as thread_create_join, with musl. */
#include "thread_create_join.c"
