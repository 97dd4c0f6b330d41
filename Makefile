# ld-span: three programs from four layers of sources found by wildcard.
#   make            build/ld-span.so build/spand build/spanctl
#   make check      unit tests, program tests and cluster tests (quick selection)
#   make bench      ratios against native runs and raw TCP exchanges, build/bench.json
CC      ?= gcc
PREFIX  ?= /usr/local
B       := build
WARN    := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes
OPT     ?= -O2 -g
CPPFLAGS += -I. -D_GNU_SOURCE -MMD -MP
CFLAGS  += -std=gnu17 $(OPT) $(WARN) -fPIE -fvisibility=hidden -fcf-protection=none -fno-strict-aliasing
# Quick handlers run on the program's vector registers and without the monitor's TLS.
QUICK   := -mgeneral-regs-only -fno-stack-protector -fno-builtin
LDFLAGS += -static-pie -Wl,-z,noexecstack -Wl,-z,relro -Wl,--gc-sections -Wl,--no-warnings -Wl,--build-id=none
LIBS    := -lcapstone -lelf -lz -lseccomp -ljansson -lzstd -lssl -lcrypto -lunwind -llzma -lpthread

# --no-warnings is for glibc's notes on static dlopen and getaddrinfo, which nothing of ours calls; it silences undefined
# symbols too, so every link looks for them itself.
define check_link
	@if nm -u $@ | grep ' U '; then echo "$@: undefined symbols, see above" >&2; rm -f $@; exit 1; fi
endef

LAYERS  := ld-span syscall monitor runtime
SOURCES := $(wildcard $(LAYERS:%=%/*.c) $(LAYERS:%=%/*.S))
MAINS   := $(filter %_main.c,$(SOURCES))
PARTS   := $(filter-out $(MAINS),$(SOURCES))
OBJECTS := $(addprefix $(B)/,$(addsuffix .o,$(PARTS)))

all: $(B)/ld-span.so $(B)/spand $(B)/spanctl

$(B)/ld-span.so: $(B)/ld-span/ld-span_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-e,span_start -o $@ $< -Wl,--whole-archive $(B)/span.a -Wl,--no-whole-archive $(LIBS)
	$(check_link)
$(B)/spand: $(B)/monitor/spand_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) $(LDFLAGS) -Wl,-e,span_start -o $@ $< -Wl,--whole-archive $(B)/span.a -Wl,--no-whole-archive $(LIBS)
	$(check_link)
$(B)/spanctl: $(B)/monitor/spanctl_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(B)/span.a $(LIBS)
	$(check_link)

$(B)/span.a: $(OBJECTS)
	rm -f $@ && ar rcs $@ $^

$(B)/%_quick.c.o: %_quick.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(QUICK) -c -o $@ $<
$(B)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -ffunction-sections -c -o $@ $<
$(B)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -g -fPIE -c -o $@ $<

-include $(wildcard Makefile.d/*.mk)
-include $(shell find $(B) -name '*.d' 2>/dev/null)

clean:
	rm -rf $(B)

.PHONY: all clean
