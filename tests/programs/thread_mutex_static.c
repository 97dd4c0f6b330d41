/* The same as thread_mutex, in a static program. */
#include "thread_mutex.c"
