# Suites that others wrote for their own programs: tests/suites. Not a part of `make check`, for they need packages of
# their own (scripts/setup --suites) and take hours.
#   make check-suites       all of them, natively and on 1, 2 and 3 nodes
#   make check-suites-quick a handful, a minute or two
#   make check-all          the parts of `make check` in their long forms, and check-suites
SUITES := tests/suites/run-suites

check-suites: all
	@$(SUITES) --json $(B)/suites.json
check-suites-quick: all
	@$(SUITES) --quick

# Everything is built before the first part starts, as for `make check`.
check-all: all programs-all $(UNIT_PROGRAMS) $(LITMUS) $(COPROC_CHECK)
	@$(HARNESS)/run-parts $(CHECK_ALL_PARTS)
CHECK_ALL_PARTS ?= check-unit check-behaviours-long check-programs check-litmus check-errors check-coproc check-suites
# Without the limit of time that the quick selection has.
check-behaviours-long:
	@$(MAKE) --no-print-directory check-behaviours BUDGET=0

.PHONY: check-suites check-suites-quick check-all check-behaviours-long
