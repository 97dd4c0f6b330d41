/*
 * Leaves out of the static link what capstone knows of other processors: their tables need 75,000 relocations at every
 * start, five times all else together. Each pair stands for an archive member that is then not taken.
 */
#include <stddef.h>

#define ARCHITECTURE_ABSENT(name)                                                                                      \
    int name##_global_init(void *handle);                                                                              \
    int name##_global_init(void *handle)                                                                               \
    {                                                                                                                  \
        (void)handle;                                                                                                  \
        return 2; /* CS_ERR_ARCH */                                                                                    \
    }                                                                                                                  \
    int name##_option(void *handle, int type, size_t value);                                                           \
    int name##_option(void *handle, int type, size_t value)                                                            \
    {                                                                                                                  \
        (void)handle;                                                                                                  \
        (void)type;                                                                                                    \
        (void)value;                                                                                                   \
        return 2;                                                                                                      \
    }

ARCHITECTURE_ABSENT(ARM)
ARCHITECTURE_ABSENT(AArch64)
ARCHITECTURE_ABSENT(Mips)
ARCHITECTURE_ABSENT(PPC)
ARCHITECTURE_ABSENT(Sparc)
ARCHITECTURE_ABSENT(SystemZ)
ARCHITECTURE_ABSENT(XCore)
ARCHITECTURE_ABSENT(M68K)
ARCHITECTURE_ABSENT(TMS320C64x)
ARCHITECTURE_ABSENT(M680X)
ARCHITECTURE_ABSENT(EVM)
