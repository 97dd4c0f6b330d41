/* The same as call_unknown, with musl. */
#include "call_unknown.c"
