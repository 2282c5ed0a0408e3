#!/usr/bin/env bash
# What a frame costs from ring to ring, in instructions, has a budget, which docs/benchmarks.md states.  More than a
# tenth above it fails; who has a good reason changes the budget, and who saves some lowers it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v valgrind >/dev/null || skip_all="no valgrind"
[ -x "$top/build/bench/switch" ] || skip_all="no build/bench/switch: make bench"

counted() {
	"$top/scripts/count-instructions" "$top/build/bench/switch" >counts
	cat counts
	expect_equal "$(wc -l <counts)" 4
}

# The table's rows "| bytes | captured | instructions |".
budget() {
	sed -n '/^## Instructions of a frame/,/^## /s/^| *\([0-9]*\) *| *\(yes\|no\) *| *\([0-9]*\) *|$/\1 \2 \3/p' \
		"$top/docs/benchmarks.md"
}

# within_budget BYTES CAPTURED
within_budget() {
	local allowed taken
	allowed=$(budget | awk -v bytes="$1" -v captured="$2" '$1 == bytes && $2 == captured { print $3 }')
	taken=$(awk -v bytes="$1" -v captured="$2" '$1 == bytes && $2 == captured { print $3 }' counts)
	[ -n "$allowed" ] || fail "docs/benchmarks.md has no budget for $1 bytes, captured: $2"
	echo "$taken instructions, of $allowed"
	[ "$((taken * 10))" -le "$((allowed * 11))" ] || fail "a frame of $1 bytes (captured: $2) takes $taken, not $allowed"
}

check "instructions are counted" counted
for size in 64 1514; do
	check "a frame of $size bytes is within its budget" within_budget "$size" no
	check "a captured frame of $size bytes is within its budget" within_budget "$size" yes
done
finish
