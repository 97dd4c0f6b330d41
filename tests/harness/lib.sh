# Results for test scripts, in the form that run-parts counts: source it, report, and end with `finish`.
# Not for running programs on nodes and comparing them: run-cases does that.
# shellcheck shell=bash

passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); echo "ok $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() { skipped=$((skipped + 1)); echo "skip $1: $2"; }

# Standard input, indented so that nobody takes it for a result, and not too much of it.
detail() { head -n 60 | sed 's/^/    /'; }

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
