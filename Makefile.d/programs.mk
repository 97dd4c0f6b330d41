# The tiny programs of tests/programs, one behaviour each, for the program's side: no flag of the monitor's applies.
#   *_static.c  static, not position-independent        *_musl.c  with musl, when musl-gcc is there
BEHAVIOURS         := $(B)/programs
BEHAVIOUR_FLAGS    := -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -pthread
BEHAVIOUR_NAMES    := $(patsubst tests/programs/%.c,%,$(wildcard tests/programs/*.c))
BEHAVIOUR_STATIC   := $(filter %_static,$(BEHAVIOUR_NAMES))
BEHAVIOUR_MUSL     := $(filter %_musl,$(BEHAVIOUR_NAMES))
BEHAVIOUR_DYNAMIC  := $(filter-out $(BEHAVIOUR_STATIC) $(BEHAVIOUR_MUSL),$(BEHAVIOUR_NAMES))
BEHAVIOUR_LIBRARIES := $(patsubst tests/programs/%.c,$(BEHAVIOURS)/%.so,$(wildcard tests/programs/libraries/*.c))
MUSL_GCC           ?= musl-gcc
BEHAVIOUR_PROGRAMS := $(addprefix $(BEHAVIOURS)/,$(BEHAVIOUR_DYNAMIC) $(BEHAVIOUR_STATIC) \
    $(if $(shell command -v $(MUSL_GCC)),$(BEHAVIOUR_MUSL))) $(BEHAVIOUR_LIBRARIES)

# Some include another program, all include the header.
BEHAVIOUR_SOURCES := tests/programs/behaviour.h $(wildcard tests/programs/*.c)

$(addprefix $(BEHAVIOURS)/,$(BEHAVIOUR_DYNAMIC)): $(BEHAVIOURS)/%: tests/programs/%.c tests/programs/behaviour.h
	@mkdir -p $(@D)
	$(CC) $(BEHAVIOUR_FLAGS) -o $@ $<
$(addprefix $(BEHAVIOURS)/,$(BEHAVIOUR_STATIC)): $(BEHAVIOURS)/%: tests/programs/%.c $(BEHAVIOUR_SOURCES)
	@mkdir -p $(@D)
	$(CC) $(BEHAVIOUR_FLAGS) -static -o $@ $<
$(addprefix $(BEHAVIOURS)/,$(BEHAVIOUR_MUSL)): $(BEHAVIOURS)/%: tests/programs/%.c $(BEHAVIOUR_SOURCES)
	@mkdir -p $(@D)
	$(MUSL_GCC) $(BEHAVIOUR_FLAGS) -o $@ $<
$(BEHAVIOUR_LIBRARIES): $(BEHAVIOURS)/%.so: tests/programs/%.c tests/programs/behaviour.h
	@mkdir -p $(@D)
	$(CC) $(BEHAVIOUR_FLAGS) -shared -fPIC -o $@ $<

behaviours: $(BEHAVIOUR_PROGRAMS)
.PHONY: behaviours
