# Tests, benches, installation and the tools that look at sources. Not for building the three programs: see the Makefile.
#   make check            the quick selection, bounded in time: what continuous integration runs
#   make check-unit       tests/unit with Check, no cluster
#   make check-behaviours tests/programs on 1, 2 and 3 nodes
#   make check-errors     messages, exit codes, keys
#   make check-mutants    that the litmus tests notice a broken runtime
#   make check-programs   Debian's programs on 1, 2 and 3 nodes, 20 times in a row (long)
#   make check-litmus     x86's memory model, each thread on a node of its own (long)
#   make check-coproc     coprocessor streams with OpenCL (coproc.mk)
#   make check-cluster    all that runs on nodes: behaviours, programs once, errors
HARNESS  := tests/harness
CLANG    ?= clang-14
CXX      ?= g++
MUSL_GCC ?= musl-gcc
# Seconds after which a part of the quick selection gives up on what is left of it.
BUDGET   ?= 420

# ---- unit tests ------------------------------------------------------------------------------------------------------
# Each tests/unit/**/test_*.c is a program of its own. It is linked with build/span.a, and its own definitions win over the
# archive's; or, when a comment among its first lines says `links: runtime/channel.c runtime/cpu.c`, with just these. The
# words may be make's functions: `$(filter runtime/channel%,$(PARTS))`.
UNIT_SOURCES  := $(wildcard tests/unit/test_*.c tests/unit/*/test_*.c)
UNIT_PROGRAMS := $(UNIT_SOURCES:%.c=$(B)/%)
UNIT_LIBS     := -lcheck -lsubunit -lm -lrt $(LIBS)
unit_links     = $(shell sed -n '1,30s,^[/ ]*\*\** *links: *\([^*]*\).*,\1,p' $(1))

define unit_rule
PARTS_$(1) := $(call unit_links,$(1))
$(B)/$(1:%.c=%): $(B)/$(1).o $$(if $$(PARTS_$(1)),$$(PARTS_$(1):%=$(B)/%.o),$(B)/span.a)
	$$(CC) $$(CFLAGS) $$(LDFLAGS) -Wl,-z,muldefs -o $$@ $$^ $$(UNIT_LIBS)
	$$(check_link)
endef
$(foreach source,$(UNIT_SOURCES),$(eval $(call unit_rule,$(source))))

# ---- programs of each kind, for tests/cluster/programs.list ---------------------------------------------------------
KINDS    := $(B)/programs/kinds
KIND_C   := tests/programs/kinds/threads.c
KIND_FLAGS := -O2 -g -Wall -pthread
KIND_PROGRAMS := $(addprefix $(KINDS)/,threads-static threads-static-pie threads-exec openmp exceptions) \
    $(if $(shell command -v go),$(KINDS)/go) \
    $(if $(shell command -v $(MUSL_GCC)),$(KINDS)/threads-musl $(KINDS)/threads-musl-static)

$(KINDS)/threads-static: $(KIND_C)
	@mkdir -p $(@D)
	$(CC) $(KIND_FLAGS) -static -o $@ $<
$(KINDS)/threads-static-pie: $(KIND_C)
	@mkdir -p $(@D)
	$(CC) $(KIND_FLAGS) -static-pie -fPIE -o $@ $<
$(KINDS)/threads-exec: $(KIND_C)
	@mkdir -p $(@D)
	$(CC) $(KIND_FLAGS) -no-pie -fno-pie -o $@ $<
$(KINDS)/threads-musl: $(KIND_C)
	@mkdir -p $(@D)
	$(MUSL_GCC) $(KIND_FLAGS) -o $@ $<
$(KINDS)/threads-musl-static: $(KIND_C)
	@mkdir -p $(@D)
	$(MUSL_GCC) $(KIND_FLAGS) -static -o $@ $<
$(KINDS)/openmp: tests/programs/kinds/openmp.c
	@mkdir -p $(@D)
	$(CC) $(KIND_FLAGS) -fopenmp -o $@ $<
$(KINDS)/exceptions: tests/programs/kinds/exceptions.cc
	@mkdir -p $(@D)
	$(CXX) $(KIND_FLAGS) -o $@ $<
$(KINDS)/go: tests/programs/go/main.go
	@mkdir -p $(@D)
	GOCACHE=$(abspath $(B)/go-cache) GOFLAGS=-mod=mod GO111MODULE=off CGO_ENABLED=0 go build -o $@ $<

# ---- checks ----------------------------------------------------------------------------------------------------------
# BEHAVIOUR_PROGRAMS comes from programs.mk, which may be read after this file.
.SECONDEXPANSION:
programs-all: $(KIND_PROGRAMS) $$(BEHAVIOUR_PROGRAMS)

check-unit: $(UNIT_PROGRAMS)
	@$(HARNESS)/run-unit $(UNIT_PROGRAMS)
check-behaviours: all programs-all
	@$(HARNESS)/run-cases --behaviours $(B)/programs --budget $(BUDGET)
check-programs-quick: all programs-all
	@$(HARNESS)/run-cases tests/cluster/programs.list --quick --budget $(BUDGET)
check-programs: all programs-all
	@$(HARNESS)/run-cases tests/cluster/programs.list --repeat 20
# The memory model: a program of its own, natively and on nodes.
LITMUS := $(B)/litmus/litmus
$(LITMUS): $(wildcard tests/litmus/*.c) tests/litmus/litmus.h
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -pthread -o $@ $(filter %.c,$^)
check-litmus: all $(LITMUS)
	@tests/litmus/check-litmus
check-litmus-quick: all $(LITMUS)
	@tests/litmus/check-litmus --quick
check-errors: all programs-all
	@tests/cluster/check-errors
# Not a part of anything: it builds the runtime anew for each mutant.
check-mutants: all $(LITMUS)
	@tests/litmus/check-mutants
check-cluster: check-behaviours check-programs-quick check-errors

# Everything is built before the first part starts, so that a slow build takes no part's time.
check: all programs-all $(UNIT_PROGRAMS) $(LITMUS)
	@$(HARNESS)/run-parts $(CHECK_PARTS)
CHECK_PARTS ?= check-unit check-behaviours check-programs-quick check-litmus-quick check-errors check-coproc-quick

BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
$(B)/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARN) -pthread -o $@ $<
bench: all $(BENCH_PROGRAMS)
	@scripts/bench

# ---- installation ----------------------------------------------------------------------------------------------------
MAN_PAGES := $(wildcard docs/*.[1-8] docs/man/*.[1-8])
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(B)/spand $(B)/spanctl scripts/span-patch $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(B)/ld-span.so $(DESTDIR)$(PREFIX)/lib/ld-span.so
	ln -sfn ../lib/ld-span.so $(DESTDIR)$(PREFIX)/bin/ld-span
	for page in $(MAN_PAGES); do \
	    install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; \
	done

# ---- sources ---------------------------------------------------------------------------------------------------------
ALL_C := $(wildcard $(foreach d,$(LAYERS) coproc,$(d)/*.c $(d)/*.h $(d)/*/*.c $(d)/*/*.h) tests/coproc/*.c) \
    $(wildcard tests/unit/*.[ch] tests/unit/*/*.[ch] tests/programs/*.[ch] tests/programs/kinds/*.c tests/bench/*.[ch] tests/litmus/*.[ch])
SCRIPTS := $(shell grep -lE '^\#!/bin/(ba)?sh' scripts/* .ci/run $(HARNESS)/* tests/cluster/* tests/coproc/* tests/model/* tests/suites/* 2>/dev/null)

format:
	@clang-format-14 -i $(ALL_C)
lint: lint-format lint-scripts lint-clang lint-tidy
lint-format:
	@clang-format-14 --dry-run -Werror $(ALL_C)
lint-scripts:
	$(if $(shell command -v shellcheck),shellcheck -x $(SCRIPTS),@echo "lint: shellcheck is not here")
lint-clang:
	$(MAKE) B=build/clang CC=$(CLANG) OPT='-O2 -g -Werror' all
lint-tidy:
	for source in $(filter %.c,$(SOURCES)); do \
	    clang-tidy-14 --quiet $$source -- $(CPPFLAGS) -std=gnu17 $(WARN) || exit 1; \
	done

.PHONY: check check-unit check-behaviours check-programs check-programs-quick check-errors check-litmus check-litmus-quick check-mutants check-cluster programs-all \
    bench install format lint lint-format lint-scripts lint-clang lint-tidy
