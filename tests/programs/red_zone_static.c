/* The same as red_zone, in a static program. */
#include "red_zone.c"
