#!/usr/bin/env bash
# What memory nodes take, as the status says it; and which labs are not started, since there is too little.
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
	jq -e '([.nodes[].memory_private] | add) == .memory.private and .memory.shared > 0 and
		.memory.captures > 0 and .memory.in_flight == 0 and .memory.netlabd > .memory.captures and
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
	expect_match "^Memory: $size private to nodes, $size for what they share, $size for netlabd itself, of which $size for captures$" "$output"
	expect_match "^ +and 0 for frames on their way$" "$output"
}

without_machine() {
	in_node b 'poweroff -f' || true
	wait_for state_is b stopped
	expect_equal "$(memory_of b private)" null
	expect_match '^b +stopped .* 64M +- +- +1' "$(netlab status)"
	sum_of_all
	netlab down
}

# in_machine AVAILABLE LIMIT ARGUMENTS...: netlab where the kernel has so many MiB available, and the control group is
# limited to LIMIT MiB or "max".  Its files of that are others, for this one process and the netlabd it starts.
in_machine() {
	local available=$1 limit=$2
	shift 2
	[ "$limit" = max ] || limit=$((limit * mebibyte))
	mkdir -p machine/groups
	sed "s/^MemAvailable:.*/MemAvailable: $((available * 1024)) kB/" /proc/meminfo >machine/meminfo
	echo "$limit" >machine/groups/memory.max
	echo 0 >machine/groups/memory.current
	# shellcheck disable=SC2016 # For the inner shell.
	"${own_mounts[@]}" sh -c 'mount --bind "$0/meminfo" /proc/meminfo && mount --bind "$0/groups" /sys/fs/cgroup &&
		exec "$@"' "$work/machine" timeout -k 10 $((patience + 60)) "$bin/netlab" "$@"
}

own_mounts=(unshare --mount)
[ "$(id -u)" -eq 0 ] || own_mounts=(unshare --user --map-root-user --mount)

need_mounts() {
	"${own_mounts[@]}" mount --bind /proc/meminfo /proc/meminfo || skip "no mounts of one's own"
}

mkdir pair
printf 'nodes: {a: , b: }\ncapture: {recorder: 32M}\n' >pair/topology.yaml

# refused PATTERN AVAILABLE LIMIT ARGUMENTS...: for want of memory.
refused() {
	local pattern=$1 output
	shift
	output=$(expect_status 2 in_machine "$@" 2>&1) || fail "$output"
	expect_match "/pair/topology.yaml:1:1: error: $pattern" "$output"
	expect_match '^  help: .*--overcommit' "$output"
}

too_little() {
	need_mounts
	refused 'the 2 nodes of lab pair and its capture may come to need 224 MiB of memory; this machine has 300 MiB free, .* 256 MiB' \
		300 max up pair
	no_daemons
	[ -z "$(ls "$runtime")" ]
}

too_little_for_the_group() {
	need_mounts
	grep -q '^0::' /proc/self/cgroup || skip "no control groups of version 2"
	refused '.* 224 MiB of memory; the limit of this control group leaves 350 MiB free' 2000 350 up pair
}

overcommit() {
	need_mounts
	in_machine 300 max up --no-capture --overcommit --timeout "$patience" pair 2>errors
	cat errors
	expect_equal "$(wc -l <errors)" 1
	expect_match '/pair/topology.yaml:1:1: warning: .* need 224 MiB of memory; .* 300 MiB free' "$(cat errors)"
	state_is a ready
	state_is b ready
}

# There is room for one of the two.
other_labs_count() {
	need_mounts
	refused 'the 2 nodes of lab second .*, of which running labs may still need (9.|1..|2[0-2].) MiB' \
		504 max up --name second pair
	kill -KILL "$(daemon_pid pair)"
	wait_for no_daemons
	in_machine 504 max up --no-capture --timeout "$patience" --name second pair
	netlab down second
}

check "clones share what they have not written to" clones_share
check "a node that booted shares nothing" booted_shares_nothing
check "the lab's memory is that of its nodes" sum_of_all
check "what a node writes is its own" written_is_private
check "status shows it" shown_as_text
check "a node without a machine has none" without_machine
check "a lab that may come to need more memory than there is is refused" too_little
check "the control group's limit counts" too_little_for_the_group
check "up --overcommit starts it all the same, and says so" overcommit
check "what running labs may come to need counts" other_labs_count
finish
