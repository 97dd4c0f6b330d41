# make docs: the page that is made from the system call table.
docs:
	CC="$(CC)" scripts/system-calls
.PHONY: docs
