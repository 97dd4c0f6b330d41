/* The same as signal_fault_address, in a static program. */
#include "signal_fault_address.c"
