/* The same as thread_condition, with musl. */
#include "thread_condition.c"
