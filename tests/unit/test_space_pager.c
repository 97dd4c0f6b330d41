/*
 * The random calls of test_space.c once more, over the real pager and userfaultfd, with home as the
 * only node: moves, growth and protection of registered memory must look like the kernel's to a
 * program.
 */
#define SPACE_REAL_PAGER 1
#include "tests/unit/test_space.c"
