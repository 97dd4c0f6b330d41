/* The same as code_on_writable_pages, in a static program. */
#include "code_on_writable_pages.c"
