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
# What lives in a program's address space is linked for one address in the runtime zone, from code that could be anywhere: a
# static PIE would relocate itself at each start, 23,000 words on 150 pages, a fifth of the time that a short program takes.
# So nothing is to be relaxed to absolute addresses, and the start files are those of shared objects.
START   := 0x700010000000
FIXED    = -static -nostartfiles -Wl,-Ttext-segment=$(START) -Wl,--no-relax -Wl,-e,span_start \
    -Wl,--wrap=__clone_internal $(filter-out -static-pie,$(LDFLAGS)) $(call start_file,crt1.o) $(call start_file,crti.o) $(call start_file,crtbeginS.o)
FIXED_END = $(call start_file,crtendS.o) $(call start_file,crtn.o)
start_file = $(shell $(CC) -print-file-name=$(1))
LIBS    := -lcapstone -lelf -lz -lseccomp -ljansson -lzstd -lssl -lcrypto -lunwind-x86_64 -lunwind -llzma -lpthread

# --no-warnings is for glibc's notes on static dlopen and getaddrinfo, which nothing of ours calls; it silences undefined
# symbols too, so every link looks for them itself.
define check_link
	@if nm -u $@ | grep ' U '; then echo "$@: undefined symbols, see above" >&2; rm -f $@; exit 1; fi
endef

LAYERS  := ld-span syscall monitor runtime
SOURCES := $(wildcard $(LAYERS:%=%/*.c) $(LAYERS:%=%/*.S))
MAINS   := $(filter %_main.c,$(SOURCES))
PARTS   := $(filter-out $(MAINS),$(SOURCES))
# The engine of coprocessor streams stands alone: see Makefile.d/coproc.mk. Unit tests name it.
COPROC_ENGINE := $(wildcard coproc/*.c)
OBJECTS := $(addprefix $(B)/,$(addsuffix .o,$(PARTS)))

all: $(B)/ld-span.so $(B)/spand $(B)/spanctl

$(B)/ld-span.so: $(B)/ld-span/ld-span_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) $(FIXED) -o $@ $< -Wl,--whole-archive $(B)/span.a -Wl,--no-whole-archive $(LIBS) $(FIXED_END)
	$(check_link)
$(B)/spand: $(B)/monitor/spand_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) $(FIXED) -o $@ $< -Wl,--whole-archive $(B)/span.a -Wl,--no-whole-archive $(LIBS) $(FIXED_END)
	$(check_link)
# libunwind for other processes comes as code that is not position-independent.
$(B)/spanctl: $(B)/monitor/spanctl_main.c.o $(B)/span.a
	$(CC) $(CFLAGS) -static $(filter-out -static-pie,$(LDFLAGS)) -o $@ $< $(B)/span.a $(LIBS)
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
# Not those of sources that tests unpack and copy.
-include $(shell find $(B) -path $(B)/suites -prune -o -path $(B)/check -prune -o -name '*.d' -print 2>/dev/null)

clean:
	rm -rf $(B)

.PHONY: all clean
