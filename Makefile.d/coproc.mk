# Coprocessor streams: the engine and its front ends, shared libraries of the application domain. Nothing of the monitor's is
# linked in. Objects have a place of their own, for the flags are others.
COPROC          := $(B)/coproc-so
COPROC_FLAGS    := -std=gnu17 $(OPT) $(WARN) -Wconversion -fPIC -fvisibility=hidden -fno-strict-aliasing -pthread
COPROC_OPENCL   := $(wildcard coproc/opencl/*.c)
COPROC_CL_FLAGS := -DCL_TARGET_OPENCL_VERSION=300 -DCL_USE_DEPRECATED_OPENCL_1_0_APIS -DCL_USE_DEPRECATED_OPENCL_1_1_APIS \
    -DCL_USE_DEPRECATED_OPENCL_1_2_APIS -DCL_USE_DEPRECATED_OPENCL_2_0_APIS -DCL_USE_DEPRECATED_OPENCL_2_1_APIS \
    -DCL_USE_DEPRECATED_OPENCL_2_2_APIS
coproc_objects   = $(patsubst %.c,$(COPROC)/%.o,$(1))

$(COPROC)/coproc/opencl/%.o: COPROC_FLAGS += $(COPROC_CL_FLAGS)
$(COPROC)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(COPROC_FLAGS) -c -o $@ $<

# ---- OpenCL: a layer for ocl-icd ---------------------------------------------------------------------------------------
# Without the headers there is nothing to build it against: scripts/setup --test installs them.
COPROC_HEADERS := $(wildcard /usr/include/CL/cl_layer.h)
all: $(if $(COPROC_HEADERS),$(B)/libspan-cl.so)

$(B)/libspan-cl.so: $(call coproc_objects,$(COPROC_ENGINE) $(COPROC_OPENCL))
	$(CC) $(COPROC_FLAGS) -shared -Wl,-soname,libspan-cl.so -Wl,-z,defs -Wl,-z,noexecstack -Wl,-z,relro \
	    -Wl,-z,nodelete -o $@ $^

install: install-coproc
install-coproc: $(if $(COPROC_HEADERS),$(B)/libspan-cl.so)
	$(if $^,install -D -m 644 $< $(DESTDIR)$(PREFIX)/lib/libspan-cl.so)

# ---- tests and benches ---------------------------------------------------------------------------------------------------
COPROC_TESTS := $(if $(COPROC_HEADERS),$(patsubst tests/coproc/%.c,$(B)/coproc/%,$(wildcard tests/coproc/*.c)))
$(B)/coproc/%: tests/coproc/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -pthread $(COPROC_CL_FLAGS) -o $@ $< -lOpenCL -lm

COPROC_CHECK := $(B)/ld-span.so $(if $(COPROC_HEADERS),$(B)/libspan-cl.so) $(COPROC_TESTS)
check-coproc: $(COPROC_CHECK)
	@tests/coproc/check-coproc
check-coproc-quick: $(COPROC_CHECK)
	@tests/coproc/check-coproc --quick
check: $(COPROC_CHECK)
bench-coproc: $(COPROC_CHECK)
	@scripts/bench-coproc
.PHONY: bench-coproc check-coproc check-coproc-quick install-coproc
