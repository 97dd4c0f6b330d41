# make simulate: records real programs on a few nodes, replays the traces on up to 64, and draws what came out. Not a part
# of any check: the figures of a busy machine are its own. docs/simulation.md tells what was learnt.
SIMULATE := $(B)/simulate/simulate
$(SIMULATE): $(patsubst %.c,$(B)/%.c.o,$(wildcard tests/simulate/*.c) $(wildcard runtime/coherence*.c))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^
simulate: all $(SIMULATE)
	@tests/simulate/run
.PHONY: simulate
