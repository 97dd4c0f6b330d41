/* The same as call_unknown, in a static program. */
#include "call_unknown.c"
