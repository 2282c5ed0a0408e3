#!/usr/bin/env bash
# What a guest frees goes back to the host.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_tool jq
need_image

mkdir lab
cat >lab/topology.yaml <<-EOF_TOPOLOGY
	nodes: {h1: {memory: 128M}}
EOF_TOPOLOGY

# What the guest takes, of which most is to come and go (KiB).
file=16384
most=12288

# What the guest's memory takes of the host's, without what is shared with other clones (KiB).
taken() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { of_guest = /memfd:guest-memory|\/memory$/ }
		of_guest && /^Private_Dirty:/ { sum += $2 }
		END { print sum + 0 }' "/proc/$(daemon_pid lab)/smaps"
}

note_taken() {
	taken >noted
	[ "$(cat noted)" -gt 0 ]
}

# has_changed BY: what is taken, from what it was when it was noted, at least that much (KiB, negative for less).
has_changed() {
	local now by
	now=$(taken)
	by=$((now - $(cat noted)))
	echo "$now KiB are taken, $by more than before"
	if [ "$1" -gt 0 ]; then
		[ "$by" -ge "$1" ]
	else
		[ "$by" -le "$1" ]
	fi
}

# A megabyte at a time from a file: a guest whose kernel is emulated is slow to copy, and a pipe copies twice more.
comes() {
	note_taken
	in_node h1 "head -c 1048576 /dev/zero | tr '\\0' x >/tmp/part
		cat \$(yes /tmp/part | head -n $((file / 1024))) >/dev/shm/file
		rm /tmp/part"
	has_changed "$most"
}

goes() {
	note_taken
	in_node h1 'rm /dev/shm/file'
	wait_for has_changed "-$most"
}

comes_and_goes() {
	comes
	goes
}

# What was given back is there to be used again, and stays what it is then.
comes_again() {
	comes
	sleep 15 # Longer than it takes until pages are given back.
	expect_equal "$(in_node h1 'tr -d x </dev/shm/file | wc -c; stat -c %s /dev/shm/file')" "0
$((file * 1024))"
	goes
}

is_not_quarantined() {
	expect_equal "$(status_of '.nodes[].devices[] | select(.name == "balloon") | .quarantined')" false
}

check "a clone comes up" lab_up --no-capture lab
check "what a clone frees is given back" comes_and_goes
check "a clone can use it again" comes_again
check "its balloon is in order" is_not_quarantined
check "the lab goes down" netlab down
check "a node that boots comes up" lab_up --no-capture --cold lab
check "what a booted node frees is given back" comes_and_goes
check "its balloon is in order" is_not_quarantined
finish
