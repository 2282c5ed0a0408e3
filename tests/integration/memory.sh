#!/usr/bin/env bash
# What memory nodes take, as the status says it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

mkdir lab
cat >lab/topology.yaml <<'Y'
nodes: {a: , b: , c: {boot: cold}}
Y

mebibyte=1048576

# memory_of NODE KIND: bytes, private or shared.
memory_of() {
	status_of ".nodes[] | select(.name == \"$1\") | .memory_$2"
}

# expect_between LEAST NUMBER MOST
expect_between() {
	if [ "$2" -lt "$1" ] || [ "$2" -gt "$3" ]; then
		fail "$2 is not in $1..$3"
	fi
}

clones_share() {
	lab_up --no-capture lab
	expect_between 1 "$(memory_of a private)" $((16 * mebibyte))
	expect_between $mebibyte "$(memory_of a shared)" $((64 * mebibyte))
}

booted_shares_nothing() {
	expect_between $((8 * mebibyte)) "$(memory_of c private)" $((64 * mebibyte))
	expect_equal "$(memory_of c shared)" 0
}

sum_of_all() {
	local status
	status=$(netlab status --format json)
	jq -e '([.nodes[].memory_private] | add) == .memory.private and .memory.netlabd > 0 and .memory.shared > 0 and
		.memory.shared <= ([.nodes[].memory_shared] | add)' <<<"$status" || fail "$status"
}

# The guest's files are in its memory.
written_is_private() {
	local before_a before_b
	before_a=$(memory_of a private)
	before_b=$(memory_of b private)
	in_node a "head -c $((16 * mebibyte)) /dev/zero >/root/file"
	expect_between $((before_a + 14 * mebibyte)) "$(memory_of a private)" $((before_a + 32 * mebibyte))
	expect_between 0 "$(memory_of b private)" $((before_b + 8 * mebibyte))
}

shown_as_text() {
	local output size='[0-9.]+[KM]'
	output=$(netlab status)
	expect_match 'MEMORY +PRIVATE +SHARED' "$output"
	expect_match "^a +ready .* 64M +$size +$size +1$" "$output"
	expect_match "^c +ready .* 64M +$size +0 +1$" "$output"
	expect_match "^Memory: $size private to nodes, $size for what they share, $size for netlabd itself$" "$output"
}

without_machine() {
	in_node b 'poweroff -f' || true
	wait_for state_is b stopped
	expect_equal "$(memory_of b private)" null
	expect_match '^b +stopped .* 64M +- +- +1' "$(netlab status)"
	sum_of_all
	netlab down
}

check "clones share what they have not written to" clones_share
check "a node that booted shares nothing" booted_shares_nothing
check "the lab's memory is that of its nodes" sum_of_all
check "what a node writes is its own" written_is_private
check "status shows it" shown_as_text
check "a node without a machine has none" without_machine
finish
