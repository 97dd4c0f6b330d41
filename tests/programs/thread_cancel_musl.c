/* The same as thread_cancel, with musl. */
#include "thread_cancel.c"
